"""What figures mean, in a sentence each."""

from __future__ import annotations

LOSS = {
    "mean": "The loss of the whole data set: the sum of all losses over the sum of their weights. Lower is better.",
    "sum": "The loss of the whole data set: the sum of all losses. Lower is better.",
}
STANDARD_ERROR = "How far the loss would typically be off if the samples were drawn anew."
NORMAL = "Where the loss of all possible samples lies at this level of confidence, from the standard error."
BOOTSTRAP = "The same, from resampling the data set {replicates} times; it holds for skewed losses too."
DIVISOR = "What the sum is divided by: the weights of all elements."
COUNT = "Elements that have a loss: samples, or tokens or pixels where a sample has many."
IGNORED = "Elements that were left out: their target is the ignored index, or their weight is zero."

METRICS = {
    "accuracy": ("Accuracy", "How many predictions are right."),
    "top_k_accuracy": ("Top-{k} accuracy", "How often the true class is among the {k} likeliest."),
    "balanced_accuracy": ("Balanced accuracy", "The mean of all classes' recalls: each class weighs the same."),
    "precision": ("Precision", "Of what was predicted as a class, how much is of it."),
    "recall": ("Recall", "Of what is of a class, how much was found."),
    "f1": ("F1", "The harmonic mean of precision and recall."),
    "auroc": ("AUROC", "How often something of the class is scored above something that is not."),
    "average_precision": ("Average precision", "Precision over all recalls, as the threshold falls."),
    "calibration_error": ("Calibration error", "How far confidence and accuracy are apart. 0 is best."),
    "brier_score": ("Brier score", "The mean squared distance of probabilities from what is true. 0 is best."),
    "mae": ("Mean absolute error", "How far predictions are off, on average, in the target's unit."),
    "mse": ("Mean squared error", "The mean of the squared errors: large errors weigh most."),
    "rmse": ("Root mean squared error", "The root of the mean squared error, in the target's unit."),
    "r2": ("R²", "The share of the target's variance that predictions explain. 1 is best, 0 is as good as the mean."),
}
AVERAGES = {
    "binary": "Of the positive class.",
    "micro": "Over all predictions together.",
    "macro": "Each class weighs the same.",
    "weighted": "Each class weighs as many samples as it has.",
    "expected": "The mean over bins, by their counts.",
    "maximum": "Of the worst bin.",
    "error_bound": "How far the binning of scores can be off at most.",
}


def of_metric(name: str, member: str | None, settings: dict[str, object]) -> tuple[str, str]:
    """A metric's title and meaning; for one member of it, such as its macro average, those of the member."""
    title, meaning = METRICS.get(name, (name.replace("_", " ").capitalize(), ""))
    title = title.replace("{k}", str(settings.get("k", "k")))
    meaning = meaning.replace("{k}", str(settings.get("k", "k")))
    if member is None or member == "value":
        return title, meaning
    how = AVERAGES.get(member, "")
    title = f"{title}, {member.replace('_', ' ')}"
    return title, how if member == "error_bound" else f"{meaning} {how}".strip()
