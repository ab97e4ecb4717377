// Gradwire over safetensors: typed arrays go out and come back as they lie in memory.

const TYPE = "application/vnd.safetensors";
const CODES = new Map([[Float32Array, "F32"], [Int32Array, "I32"], [BigInt64Array, "I64"]]);
const ARRAYS = new Map([...CODES].map(([array, code]) => [code, array]));

/** A request: tensors by name, each `{ shape, data }`, and all other members. */
function pack(tensors, members) {
  const header = { __metadata__: { request: JSON.stringify(members) } };
  const parts = [];
  let end = 0;
  for (const [name, { shape, data }] of Object.entries(tensors)) {
    header[name] = { dtype: CODES.get(data.constructor), shape, data_offsets: [end, (end += data.byteLength)] };
    parts.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const size = new DataView(new ArrayBuffer(8));
  size.setBigUint64(0, BigInt(text.length), true);
  return new Blob([size.buffer, text, ...parts]);
}

/** An answer: its tensors by name, and all other members. */
function unpack(buffer) {
  const start = 8 + Number(new DataView(buffer).getBigUint64(0, true));
  const { __metadata__, ...entries } = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, start - 8)));
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(entries)) {
    const [begin, end] = data_offsets;
    tensors[name] = { shape, data: new (ARRAYS.get(dtype))(buffer.slice(start + begin, start + end)) };
  }
  return { tensors, members: JSON.parse(__metadata__.result) };
}

/** The tensors of an answer that lie in one of its objects: `parameters.layer0.bias` as `layer0.bias`. */
export function within(tensors, member) {
  const found = Object.entries(tensors).filter(([name]) => name.startsWith(`${member}.`));
  return Object.fromEntries(found.map(([name, tensor]) => [name.slice(member.length + 1), tensor]));
}

/** The same the other way round. */
export function under(member, tensors) {
  return Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [`${member}.${name}`, tensor]));
}

/** Ask Gradwire, and await its answer; a problem document is thrown as an error. */
export async function ask(url, path, tensors, members = {}) {
  const response = await fetch(url + path, { method: "POST", headers: { "Content-Type": TYPE }, body: pack(tensors, members) });
  if (!response.ok) throw new Error(`${path}: ${(await response.json()).detail}`);
  return unpack(await response.arrayBuffer());
}
