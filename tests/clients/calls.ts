// What a caller in TypeScript writes: calls through the generated client. Prints the answers as JSON.

import {
    AnyLossApi,
    ClassificationApi,
    Configuration,
    HuberReductionEnum,
    LossAnswer,
    Problem,
    ProblemFromJSON,
    RegressionApi,
    ResponseError,
} from "./gradwire_client";

declare const process: { argv: string[]; exitCode: number };

const configuration = new Configuration({ basePath: process.argv[2] });

async function problemOf(call: Promise<LossAnswer>): Promise<Problem> {
    try {
        await call;
    } catch (error) {
        if (error instanceof ResponseError) {
            return ProblemFromJSON(await error.response.json());
        }
        throw error;
    }
    throw new Error("the call succeeded");
}

async function main(): Promise<void> {
    const anyLoss = await new AnyLossApi(configuration).loss({
        anyLoss: { loss: "mse_loss", input: [1, 2], target: [1, 4] },
    });
    const huber = await new RegressionApi(configuration).huberLoss({
        huber: { input: [0, 3], target: [1, 0], delta: 2, reduction: HuberReductionEnum.Sum, onEmpty: "zero" },
    });
    const typed = await new RegressionApi(configuration).mseLoss({
        mSE: { input: { dtype: "float32", shape: [2], data: [1, 2] }, target: [1, 4], encoding: "base64" },
    });
    const gradient: number[] = huber.gradients["input"];
    const divisor: number | null = huber.divisor;
    const problem = await problemOf(
        new ClassificationApi(configuration).crossEntropy({ crossEntropy: { input: [[0.1, 0.2, 0.3]], target: [7] } }),
    );
    console.log(
        JSON.stringify({
            anyLoss: [anyLoss.loss, anyLoss.gradients["input"]],
            huber: [huber.loss, gradient, divisor],
            typed: typed.gradients["input"],
            problem: [problem.status, problem.errors?.map((error) => [error.pointer, error.detail])],
        }),
    );
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
