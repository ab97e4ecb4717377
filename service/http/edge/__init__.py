"""Where bytes come in and go out: uvicorn's protocol put right, before the application and beside it.

`Protocol` is what `gradwire serve` runs; `Connection` is what it offers an application beyond ASGI (docs/adr/0007
and 0010).
"""
