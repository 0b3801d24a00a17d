"""Write RESULTS.md: a table of every measurement in benchmarks/results.

    python -m benchmarks.results

Cells are means over seeds, with the standard deviation where there is more than one seed.
"""

import json
from pathlib import Path

import numpy as np
from scipy.stats import gmean

from benchmarks.anomaly import MODELS as ANOMALY_MODELS
from benchmarks.cells import RESULTS, mean_and_spread
from benchmarks.faults import KINDS as FAULTS
from benchmarks.few_labels import FEATURES, FEWER, N_LABELS
from benchmarks.growth import MEASURES, exponent
from benchmarks.imputation import MODELS as GAP_MODELS
from benchmarks.latents import C2ST
from benchmarks.latents import MODELS as LATENT_MODELS
from benchmarks.memory import READINGS
from benchmarks.missing import MODELS as TRANSFORMERS
from benchmarks.missing import SETS as SETS_WITHOUT_GAPS
from benchmarks.missing import WAYS
from benchmarks.oversampling import MODELS as OVER_SAMPLERS
from benchmarks.published import FCN, NC_VQVAE

PATH = Path(__file__).parent / "RESULTS.md"
INTRODUCTION = """# Results

`python -m benchmarks.results` writes this page from the files of [results](results); edit those
or the command, not the page. Where a cell has "±", it is the mean and the standard deviation over
seeds. Test accuracies are those of the default split of a set of the UCR archive. The machines
had one or two slow cores and no GPU, so seconds compare within a table only, and only roughly.

The tables of fine-tuning, precision and threads were measured when `SSLFeatureExtractor` trained
its encoder for 300 steps; now it trains it for 100.
"""
FID = "Fréchet distance, classifier"
FID_EXTRACTOR = "Fréchet distance, extractor"
INCEPTION = "inception score, classifier"
CAS = "classification accuracy, trained classifier"
CAS_FCN = "classification accuracy, FCN"
MEMORIZATION = "memorization score, series"
# Importing them from benchmarks.told_apart would set the number of threads of numba.
EARLIER = ("792e675", "default", "mean")
TOLD_APART = ("default", "mean", "naive", "timevqvae", "neighbours", "surrogates", "train")


def rows_of(name):
    """Read the rows of a file of benchmarks/results."""
    lines = (RESULTS / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def select(rows, **key):
    """Return the rows that have the values of `key`."""
    return [row for row in rows if key.items() <= row.items()]


def different(rows, column):
    """Return the different values of a column in ascending order."""
    return sorted({row[column] for row in rows})


def over_seeds(rows, column, digits=3):
    """Format mean and standard deviation of a column, or nothing if it was not measured."""
    values = [row[column] for row in rows if row.get(column) is not None]
    return mean_and_spread(values, digits) if values else ""


def share_with_error(rows, column):
    """Format the share of rows in which a column is true, and its standard error."""
    if not rows:
        return ""
    share = _mean(rows, column)
    return f"{share:.2f} ({np.sqrt(share * (1 - share) / len(rows)):.2f})"


def over_sets(rows, column, digits=3):
    """Average over sets for each seed; format mean and standard deviation over seeds."""
    measured = [row for row in rows if row.get(column) is not None]
    seeds = different(measured, "seed")
    means = [np.mean([row[column] for row in select(measured, seed=seed)]) for seed in seeds]
    return mean_and_spread(means, digits) if means else ""


def mean_of_sets(rows, column, digits=3):
    """Average a column over the seeds of each set, then over sets."""
    measured = [row for row in rows if row.get(column) is not None]
    means = [_mean(select(measured, set=name), column) for name in different(measured, "set")]
    return f"{np.mean(means):.{digits}f}" if means else ""


def mean_of(rows, column, digits=0):
    """Format the mean of a column, such as seconds, or nothing if it was not measured."""
    return f"{_mean(rows, column):.{digits}f}" if rows else ""


def _mean(rows, column):
    return np.mean([row[column] for row in rows])


def markdown(lines):
    """Format dicts of text as a table of Markdown."""
    columns = list(lines[0]) if lines else []
    cells = [columns, ["---"] * len(columns), *([line[c] for c in columns] for line in lines)]
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


def representations():
    text = """## Self-supervised representations

`python -m benchmarks.representations report --seeds 0 1 2 --seconds 90` fits each model for
about 90 seconds on one thread and judges its default features. "headline" is the test accuracy of
the one of ridge and RBF SVC that cross-validation on the training set prefers; "paper" is that of
a linear SVC on mean latents (of tokenizers: quantized latents), the probe of NC-VQVAE; "MSE" is
the reconstruction error. An untrained extractor has random weights; "window codes" are bags of the
k-means codes of `WindowCodes`. Published headlines over the
same eight sets: 0.734 for the best single setting of NC-VQVAE, 0.904 for T-Loss, 0.914 for TS2Vec
and 0.925 for MiniRocket.
"""
    rows = rows_of("representations_report")
    baselines = select(rows, model="baselines")
    models = [model for model in different(rows, "model") if model != "baselines"]
    columns = ("headline", "ridge", "svc", "5nn", "paper", "MSE")
    means = [
        {"mean over eight sets": model, "seconds": mean_of(select(rows, model=model), "seconds")}
        | {column: over_sets(select(rows, model=model), column) for column in columns}
        for model in models
    ]
    empty = dict.fromkeys(means[0], "")
    raw_series = select(baselines, seed=0)  # nothing about them is random
    raw = {column: over_sets(raw_series, f"raw {column}") for column in columns}
    rocket = {"headline": over_sets(baselines, "minirocket")}
    means.append(empty | {"mean over eight sets": "raw series"} | raw)
    means.append(empty | {"mean over eight sets": "MiniRocket with ridge"} | rocket)
    text += "\n" + markdown(means)
    headlines = []
    for name in different(rows, "set"):
        line = {"headline": name}
        for model in models:
            line[model] = over_seeds(select(rows, set=name, model=model), "headline")
        line["raw series"] = over_seeds(select(raw_series, set=name), "raw headline")
        line["MiniRocket"] = over_seeds(select(baselines, set=name), "minirocket")
        headlines.append(line)
    text += "\n" + markdown(headlines)
    for model in models:
        lines = []
        for name in different(rows, "set"):
            found = select(rows, set=name, model=model)
            line = {model: name, "seconds": mean_of(found, "seconds")}
            line |= {"steps": mean_of(found, "steps")}
            lines.append(line | {column: over_seeds(found, column) for column in columns})
        text += "\n" + markdown(lines)
    return text


def tokens_and_classes():
    text = """## Tokens and classes

`python -m benchmarks.tokens` fits `VQTokenizer(n_series_tokens="auto")` to the training series
without labels, plain and with Barlow Twins, and `LinearSVC(C=1)` to fixed functions of the ids of
tokens alone. "bands" are the tokens of the default tokenizer, which reconstruct the series,
"series" are as many that stand for all of it, and "both" have twice the bits, at the same
reconstruction error. Bags are square roots of shares; the tokens of the whole series have no order,
so that among "both" they are one-hot in any case. "both positional bag" was chosen by
cross-validation inside the training sets of fourteen other sets, without an objective; Barlow Twins
is the published one, and no other was tried. The column "features" is for what is no fixed
function of tokens: raw series, and what a masked prior has learned of 16 tokens, which the command
measures last and which has a row of its own where it was measured. "window codes" are k-means codes
of windows, as many as the tokenizer has. Seconds are those of the
process. Means are over the seeds that were measured on all sets. Since these measurements the codes
of whole series draw other random numbers.
"""
    rows = rows_of("tokens")
    models = [model for model in different(rows, "model") if model != "raw series"]
    raw = select(rows, model="raw series")
    columns = ("bands bag", "bands positional bag", "bands one-hot", "series one-hot")
    columns += ("both bag", "both positional bag", "both one-hot", "features")
    means = []
    for model in models:
        found = complete_seeds(select(rows, model=model), len(raw))
        if not found:
            continue
        line = {"mean over eight sets": model, "seeds": str(len(different(found, "seed")))}
        line |= {column: over_sets(found, column) for column in ("MSE", *columns)}
        means.append(line)
    line = dict.fromkeys(means[0], "") | {"mean over eight sets": "raw series"}
    means.append(line | {"seeds": "1", "features": f"{_mean(raw, 'accuracy'):.3f}"})
    text += "\n" + markdown(means)
    for model in models:
        lines = []
        for row in raw:
            found = select(rows, model=model, set=row["set"])
            if not found:
                continue
            line = {model: row["set"], "seconds": mean_of(found, "seconds")}
            line["bits of bands"] = mean_of(found, "bits of bands")
            line |= {"seeds": str(len(found))}
            line |= {c: over_seeds(found, c) for c in ("MSE", *columns) if c in found[0]}
            lines.append(line | {"raw series": f"{row['accuracy']:.3f}"})
        text += "\n" + markdown(lines)
    return text


def complete_seeds(rows, n_sets):
    """Return the rows of the seeds that were measured on all sets."""
    seeds = [seed for seed in different(rows, "seed") if len(select(rows, seed=seed)) == n_sets]
    return [row for row in rows if row["seed"] in seeds]


def features():
    text = """## Features

`python -m benchmarks.features training` learns features of all training series of a set without
labels, and judges ridge on them inside the training set: by up to five folds ("all"), and with five
labels a class, over ten draws ("five"). The sets are 29 outside the published eight ("five": 27),
by which the default was chosen. "untrained" is the default with `codebooks="random"`, and "window
codes" are bags of the k-means codes of `WindowCodes`. Differences from MultiRocket with Hydra are
means over sets, with their standard errors; seconds are of one processor, of learning and reading,
besides that one has to compile, which is included.
"""
    rows = rows_of("features_training")
    lines = []
    for model in dict.fromkeys(row["model"] for row in rows):
        found = select(rows, model=model)
        line = {"features": model, "sets": str(len(different(found, "set")))}
        line |= {"seeds": str(len(different(found, "seed")))}
        for column in ("all", "five"):
            line[column] = over_sets(found, column)
            line[f"{column}, less MultiRocket and Hydra"] = paired(
                found, select(rows, model="MultiRocket and Hydra"), column
            )
        line["columns"] = mean_of(found, "columns")
        lines.append(line | {"seconds a set": mean_of(found, "seconds", 1)})
    text += "\n" + markdown(lines)
    found, untrained = (select(rows, model=model) for model in ("default", "untrained"))
    text += "\nWhat learning adds to the default: " + " and ".join(
        f"{paired(found, untrained, column)} ({column})" for column in ("all", "five")
    )
    text += ".\n\nThe same by set, means over seeds:\n\n"
    models = list(dict.fromkeys(row["model"] for row in rows))
    lines = []
    for name in dict.fromkeys(row["set"] for row in rows):
        line = {"all / five": name}
        for model in models:
            found = select(rows, model=model, set=name)
            both = [mean_of([r for r in found if c in r], c, 3) for c in ("all", "five")]
            line[model] = " / ".join(filter(None, both))
        lines.append(line)
    return text + markdown(lines) + published_features() + speed_of_features()


def published_features():
    text = """
`python -m benchmarks.features published`: test accuracies of the default features, and of those of
MultiRocket with Hydra, on the eight published sets, in columns as of the next section. "ridge" is
what MultiRocket with Hydra is published with. Of the two largest sets only ridge was judged with
seeds 1 and 2.

"""
    rows = rows_of("features_published")
    text += markdown(published_lines(select(rows, model="default"), "default features"))
    rival = "MultiRocket and Hydra"
    return text + "\n" + markdown(published_lines(select(rows, model=rival), rival))


def published_lines(rows, title):
    columns = ("headline", "ridge", "svc", "5nn")
    lines = [
        {title: name, "seeds": str(len(select(rows, set=name)))}
        | {column: over_seeds(select(rows, set=name), column) for column in columns}
        for name in different(rows, "set")
    ]
    return [*lines, {title: "mean", "seeds": ""} | {c: mean_of_sets(rows, c) for c in columns}]


def few_labels():
    text = """## Few labels

`python -m benchmarks.few_labels` gives classifiers some labels of each class, or all, and judges
them on the test set; means over sets and draws. Features are learned without labels, and ridge is
given these. "label spreading" is scikit-learn's on the default features; "fine-tuned" is
`FineTunedClassifier` with an encoder pretrained on all training series, and "FCN" `FCNClassifier`
from new weights. Seconds are of one processor, on average for a fit and its test predictions,
besides what is learned before the labels are given.
"""
    rows = rows_of("few_labels")
    models = list(dict.fromkeys(row["model"] for row in rows))
    of_features = [model for model in models if model in FEATURES]
    text += "\n" + markdown(few_label_lines(rows, of_features, N_LABELS))
    text += "\nOn the sets that all models were judged on:\n\n"
    shared = [set(row["set"] for row in select(rows, model=model)) for model in models]
    shared = set.intersection(*shared)
    rows = [row for row in rows if row["set"] in shared]
    return text + markdown(few_label_lines(rows, models, FEWER))


def few_label_lines(rows, models, numbers):
    lines = []
    for model in models:
        found = select(rows, model=model)
        line = {"model": model, "sets": str(len(found))}
        line |= {str(n or "all"): mean_of_sets(found, str(n or "all")) for n in numbers}
        line["seconds before"] = mean_of(found, "seconds before", 1)
        lines.append(line | {"seconds, 5 labels": mean_of(found, "seconds 5", 2)})
    return lines


def speed_of_features():
    text = """
`python -m benchmarks.features speed`: processor seconds of the default fit on one thread, and
series a second that are transformed, beside those of aeon's MiniRocket and Hydra together.

"""
    rows = rows_of("features_speed")
    names = list(dict.fromkeys(name for row in rows for name in row))
    return text + markdown([{name: f"{row[name]:.0f}" for name in names} for row in rows])


def paired(rows, others, column):
    """Format the mean difference over sets of means over seeds, and its standard error."""
    both = [
        (select(rows, set=name), select(others, set=name))
        for name in different(rows, "set")
        if any(column in row for row in select(rows, set=name))
    ]
    differences = [_mean(ours, column) - _mean(theirs, column) for ours, theirs in both if theirs]
    if len(differences) < 2:
        return ""
    error = np.std(differences, ddof=1) / np.sqrt(len(differences))
    return f"{np.mean(differences):+.3f} ± {error:.3f}"


def published_settings():
    text = """## Published settings

`python -m benchmarks.representations published` trains the architecture and settings of NC-VQVAE,
but for fewer steps than the published 1,000 epochs and mostly with a narrower projector, and the
default settings with the same objective. "paper" and "headline" are as above. The published
values are those of NC-VQVAE.
"""
    rows = rows_of("representations_published")
    lines = []
    for name in different(rows, "set"):
        for model in different(select(rows, set=name), "model"):
            found = select(rows, set=name, model=model)
            objective = [key for key in ("slice", "warp") if key in model] or ["none"]
            lines.append(
                {
                    "set": name,
                    "model": model,
                    "seeds": str(len(found)),
                    "seconds": mean_of(found, "seconds"),
                    "paper": over_seeds(found, "paper"),
                    "published": NC_VQVAE.get(name, {}).get(objective[0], ""),
                    "headline": over_seeds(found, "headline"),
                }
            )
    return text + "\n" + markdown(lines)


def fine_tuning():
    text = """## Fine-tuning

`python -m benchmarks.fine_tuning` trains an `SSLFeatureExtractor` on all training series without
labels, then a `FineTunedClassifier` on a share of the labels: test accuracy, and in brackets the
seconds of fine-tuning on one thread.
"""
    rows = rows_of("fine_tuning")
    lines = []
    for name in different(rows, "set"):
        for fraction in different(rows, "fraction"):
            for steps in different(rows, "steps"):
                line = {"set": name, "labels": f"{fraction:.0%}", "steps": str(steps)}
                for start in ("pretrained", "pretrained, frozen", "new weights"):
                    found = select(rows, set=name, fraction=fraction, steps=steps, start=start)
                    accuracy = over_seeds(found, "accuracy")
                    line[start] = f"{accuracy} ({mean_of(found, 'seconds', 1)} s)"
                lines.append(line)
    return text + "\n" + markdown(lines)


def generators():
    text = """## Generators

`python -m benchmarks.generation final` fits each model on one thread, two at a time on two cores.
"naive" is the published architecture of a naive VQ-VAE (one band, 32 codes) with the prior of the
default, trained for a minute and for as many steps of the prior as the default; "naive, same
seconds" and timevqvae 1.0.1, with the models of its README, are trained for as many seconds as
the default, half of them for each stage. FID and IS rest on an `FCNClassifier` trained on the real
training set, "FID, random convolutions" on a `RandomConvolutionExtractor`, CAS on random
convolutions and ridge, "CAS, FCN" on an `FCNClassifier`. Columns in brackets are what
reconstructions of test series reach (FID), or real series (IS and CAS). "memorization" is the
memorization score: 1 is as far from the training series as other real series are.
"""
    rows = select(rows_of("generation"), mode="final")
    models = ("default", "naive", "naive, same seconds", "timevqvae")
    lines = []
    for name in different(rows, "set"):
        for model in models:
            found = select(rows, set=name, model=model)
            lines.append(
                {
                    "set": name,
                    "model": model,
                    "seconds": mean_of(found, "seconds"),
                    "FID": over_seeds(found, FID, 2),
                    "(FID)": over_seeds(found, f"{FID} of_reconstructions", 2),
                    "FID, random convolutions": over_seeds(found, FID_EXTRACTOR, 1),
                    "IS": over_seeds(found, INCEPTION, 2),
                    "(IS)": over_seeds(found, f"{INCEPTION} of_real", 2),
                    "CAS": over_seeds(found, CAS),
                    "(CAS)": over_seeds(found, f"{CAS} of_real"),
                    "CAS, FCN": over_seeds(found, CAS_FCN),
                    "(CAS, FCN)": over_seeds(found, f"{CAS_FCN} of_real"),
                    "memorization": over_seeds(found, MEMORIZATION, 2),
                }
            )
    text += "\n" + markdown(lines)
    means = []
    for model in models:
        ratios = []
        shares = []
        memorization = []
        for name in different(rows, "set"):
            found = select(rows, set=name, model=model)
            default = select(rows, set=name, model="default")
            if found and default:
                ratios.append(_mean(default, FID) / _mean(found, FID))
                shares.append(_mean(found, CAS) / _mean(found, f"{CAS} of_real"))
                memorization.append(_mean(found, MEMORIZATION))
        if not ratios:
            continue
        means.append(
            {
                "over four sets": model,
                "FID of the default / FID, geometric mean": f"{gmean(ratios):.2f}",
                "CAS / CAS of real series, mean": f"{np.mean(shares):.3f}",
                "memorization, mean": f"{np.mean(memorization):.2f}",
                "memorization, lowest": f"{min(memorization):.2f}",
            }
        )
    return text + "\n" + markdown(means)


def continuous_and_discrete_latents():
    text = """## Continuous and discrete latents

`python -m benchmarks.latents` trains each model for about 20 seconds of the processor, shared out
equally among its stages, with the same encoder and decoder. "window codes" are k-means codes of
windows, without a network. "MSE" is the error of reconstructed test series; of the VAE, whose
decoder is told the class, that of another VAE without labels is given. "probe" is the test accuracy
of ridge or RBF SVC, whichever cross-validation prefers, on what `transform` returns. "bound" is the
mean lower bound of the log-density of scaled test series, of at most 500, in nats: a scale of the
noise that was learned on few training series is far too small for others. FID, IS, CAS and
memorization are as under "Generators"; "C2ST" is the accuracy of random convolutions and ridge at
telling generated from real test series, 0.5 at best. No decoder but the last draws series: the
others give means.

In the same seconds an autoencoder or a VAE reconstructs series about as well as a VQ-VAE (better on
Wafer, worse on Symbols), but tokens say more of the class, and a prior that was learned over them
generates far better than N(0, I) over continuous latents: FID is a third (Wafer, TwoPatterns) to a
fifteenth (SonyAIBORobotSurface2) of the VAE's. The autoregressive prior has the best FID and CAS in
twenty seconds; with few series it copies them (memorization far below 1). Masked priors and the
sampled decoder want longer than their half or third of twenty seconds: compare "Generators", where
each has its defaults. On few series (27 and 25) no prior saves anything on test series.
"""
    rows = rows_of("latents")
    lines, saved = [], []
    for name in different(rows, "set"):
        for model in LATENT_MODELS:
            found = select(rows, set=name, model=model)
            if not found:
                continue
            lines.append(
                {
                    "set": name,
                    "model": model,
                    "seconds": mean_of(found, "seconds"),
                    "MSE": over_seeds(found, "MSE"),
                    "probe": over_seeds(found, "probe"),
                    "bound": over_seeds(found, "bound", 0),
                    "FID": over_seeds(found, FID, 2),
                    "IS": over_seeds(found, INCEPTION, 2),
                    "CAS": over_seeds(found, CAS),
                    "C2ST": over_seeds(found, C2ST),
                    "memorization": over_seeds(found, MEMORIZATION, 2),
                }
            )
            if "log K" in found[0]:
                learned = {"uniform prior": "log K", "frequencies": "usage", "learned": "learned"}
                nats = {title: over_seeds(found, key, 1) for title, key in learned.items()}
                saving = [row["log K"] - row["learned"] for row in found]
                nats["saved"] = mean_and_spread(saving, 1)
                saved.append({"nats per test series": name, "model": model} | nats)
    text += "\n" + markdown(lines)
    text += """
What the tokens of a test series take by a uniform prior, which is log K for each token, by the
frequencies of the codes in the training set, and by the prior that was learned (of a masked prior
it is an upper bound).
"""
    return text + "\n" + markdown(saved)


def tokenizers_and_orders():
    text = """## Tokenizers and orders of generators

`python -m benchmarks.generation screen` fits a `VQTokenizer` and, on its tokens, a
`MaskedPriorGenerator`, which samples in several orders, and an `AutoregressivePriorGenerator`; one
seed, one thread. "seconds" are those of both stages with the masked prior, "MSE" is the error of
reconstructed test series, "(FID)" the FID of reconstructions. Each of the other cells is FID, CAS,
memorization score, as above.
"""
    rows = select(rows_of("generation"), mode="screen")
    lines = []
    for name in different(rows, "set"):
        for model in different(rows, "model"):
            found = select(rows, set=name, model=model)
            masked = select(found, sampler="low discrepancy")
            line = {
                "set": name,
                "tokenizer": model,
                "seconds": mean_of(masked, "seconds"),
                "MSE": over_seeds(masked, "MSE"),
                "(FID)": over_seeds(masked, f"{FID} of_reconstructions", 2),
            }
            for sampler in different(rows, "sampler"):
                sampled = select(found, sampler=sampler)
                scores = (
                    over_seeds(sampled, FID, 2),
                    over_seeds(sampled, CAS),
                    over_seeds(sampled, MEMORIZATION, 2),
                )
                title = "autoregressive" if sampler == "one by one" else sampler
                line[title] = ", ".join(filter(None, scores))
            lines.append(line)
    return text + "\n" + markdown(lines)


def referees():
    text = """## Referees

`python -m benchmarks.scores referee --seeds 0 1 2` fits `FCNClassifier` for its default number of
steps, and random convolutions with ridge: test accuracy of both, the published accuracy of the FCN,
its accuracy on the training series, and the seconds of a fit.
"""
    rows = select(rows_of("scores"), mode="referee")
    lines = []
    for name in different(rows, "set"):
        found = select(rows, set=name)
        lines.append(
            {
                "set": name,
                "FCN": over_seeds(found, "accuracy"),
                "published": f"{FCN[name]:.3f}" if name in FCN else "",
                "training series": over_seeds(found, "train"),
                "seconds": mean_of(found, "seconds"),
                "random convolutions, ridge": over_seeds(found, "ridge"),
            }
        )
    means = dict.fromkeys(lines[0], "") | {"set": "mean", "FCN": over_sets(rows, "accuracy")}
    means["published"] = f"{np.mean(list(FCN.values())):.3f}"
    means["random convolutions, ridge"] = over_sets(rows, "ridge")
    return text + "\n" + markdown([*lines, means])


def doubles():
    text = """## Scores of generators with known faults

`python -m benchmarks.scores doubles` judges "generators" that draw training series again: all of
them ("resampler"), with noise of 0.1, 0.3 and 1 standard deviations, without half of the classes,
or ten series only; one seed.
"""
    rows = select(rows_of("scores"), mode="doubles")
    for name in different(rows, "set"):
        found = select(rows, set=name)
        scores = [key for key in found[0] if ", " in key and not key.endswith("s.e.")]
        lines = [
            {name: score} | {row["double"]: f"{row[score]:.3g}" for row in found}
            for score in scores
        ]
        text += "\n" + markdown(lines)
    return text


def told_apart():
    text = """## Whether generated series are told from real ones

`python -m benchmarks.told_apart` judges `MaskedPriorGenerator` with its sampled decoder ("default")
and the same fitted generator without it ("mean"). "naive" is the published VQ-VAE (tokens of an
STFT, 32 codes) with the prior of the default, and timevqvae 1.0.1 was trained for as many seconds
as the default. Two baselines need no training and lie on training series: "neighbours", between a
training series and one of its nearest (SMOTE), and "surrogates", training series with random
phases; "train" are training series themselves. C2ST is the accuracy of MiniRocket and ridge that
were shown half of real and generated series, 500 of each at most, and tell the others apart: 0.5
cannot tell, 1 always can. FID is of the same series. CAS is of as many generated as training
series, but 1,000 at least, as published; "CAS, few" of those that C2ST is shown, with their
classes. "drawn" is the share of seeds whose decoder was used: where it finds itself worse than the
mean of the tokens, it says so, and the default is the mean. "naive", timevqvae and what is beside
them on CBF, Plane, PowerCons, SyntheticControl and TwoLeadECG was measured on an Intel Xeon with
AMX, the rest on an AMD EPYC: FID of few training series differs between both, as the next table
tells.
"""
    rows = rows_of("told_apart")
    lines = []
    for name in different(rows, "set"):
        for model in TOLD_APART:
            found = select(rows, set=name, model=model)
            if found:
                drawn = [row["is used"] for row in found if "is used" in row]
                lines.append(
                    {"set": name, "model": model, "seeds": str(len(found))}
                    | {"C2ST": over_seeds(found, "C2ST")}
                    | {"FID": over_seeds(found, "FID", 2)}
                    | {"FID, random convolutions": over_seeds(found, "FID rk", 1)}
                    | {
                        "CAS": over_seeds(found, "CAS"),
                        "CAS, few": over_seeds(found, "CAS shown"),
                        "CAS of real": over_seeds(found[:1], "CAS of real"),
                    }
                    | {"memorization": over_seeds(found, "memorization", 2)}
                    | {"drawn": f"{np.mean(drawn):.2f}" if drawn else ""}
                )
    has_networks = (RESULTS / "told_apart_networks.jsonl").exists()
    networks = rows_of("told_apart_networks") if has_networks else []
    parts = [text, markdown(lines), told_apart_over_sets(rows), told_apart_by_networks(networks)]
    return "\n".join(part for part in parts if part)


def told_apart_over_sets(rows):
    """Format means over groups of sets of the default and of the mean of its tokens."""
    many = ("TwoPatterns", "Wafer", "ECG200", "SwedishLeaf")
    few = ("GunPoint", "ItalyPowerDemand", "Symbols", "SonyAIBORobotSurface2")
    groups = {
        "many training series": many,
        "few training series": few,
        "both and NATOPS": (*many, *few, "NATOPS"),
        "few or long": ("DiatomSizeReduction", "Trace", "GunPoint", "Lightning2"),
    }

    def mean_of(name, model, score):
        return np.mean([row[score] for row in select(rows, set=name, model=model)])

    lines = []
    for group, names in groups.items():
        line = {"sets": f"{group}: {', '.join(names)}"}
        for model in ("default", "mean"):
            line[f"C2ST, {model}"] = np.mean([mean_of(name, model, "C2ST") for name in names])
            ratios = [mean_of(n, model, "CAS") / mean_of(n, model, "CAS of real") for n in names]
            line[f"CAS / CAS of real, {model}"] = np.mean(ratios)
        ratios = [mean_of(n, "default", "FID") / mean_of(n, "mean", "FID") for n in names]
        line["FID, default / mean"] = np.exp(np.mean(np.log(ratios)))
        lines.append(
            {key: value if key == "sets" else f"{value:.3f}" for key, value in line.items()}
        )
    return "Means over sets; that of ratios of FID is geometric.\n\n" + markdown(lines)


def told_apart_by_networks(rows):
    """Format what `python -m benchmarks.told_apart --networks` measured, if it did."""
    if not rows:
        return ""
    text = """The same by two networks, with `--networks` and one seed, on sets of at least 500 test
series: "C2ST FCN" is the accuracy of an `FCNClassifier` in the place of MiniRocket, of one split;
"GRU" is `discriminative_score`, where 0 cannot tell and 0.5 always can. "series" are those of each
sample; "train" has as many training as test series, few where the training set is small.
"""
    lines = [
        {"set": name, "model": model, "series": str(found["series"])}
        | {score: f"{found[score]:.3f}" for score in ("C2ST FCN", "GRU")}
        for name in different(rows, "set")
        for model in ("default", "mean", "timevqvae", "train")
        for found in select(rows, set=name, model=model)
    ]
    return text + "\n" + markdown(lines)


def gaps_filled():
    text = """## Gaps filled

`python -m benchmarks.imputation` hides values of at most 200 test series: one block of a series in
all its channels, single points, a random half of its channels, or its tail. Series are standardised
by the channels of the training set, and scores are means over hidden values: the absolute error of
a filling or of the median of draws, the CRPS, which is the absolute error for a single filling, and
the share of values in the central 90 % of the draws, where there are draws. "ours" is
`MaskedPriorGenerator` fitted without labels, with 100 draws, and "masked encoder" the same with a
tokenizer of ``missing="mask"``; "nearest" the mean of the five nearest training series, which are
its draws, and `KNNImputer` the same without draws; `IterativeImputer` has ten draws; SAITS is that
of PyPOTS, trained on gaps of all these kinds for about the seconds of a fit of ours, as measured
for the table above. The last three only continue series. Seconds are those of a fit and of filling
the gaps of one kind, on one thread; those of "ours" were measured beside one or two other
processes. In the mean of the sets "ours" has the least error in blocks and tails, and the least
CRPS in all; single points are nearest to a straight line, which is ahead on GunPoint and NATOPS,
and hidden channels of NATOPS to SAITS. The decoder of NATOPS is worse than the mean, so its gaps
are filled with means and errors that are drawn; its rows were measured when priors of several
channels made fewer steps. "ours" is behind "nearest" on SwedishLeaf alone, in
long blocks and tails, where a ridge regression continues series better as well. "masked encoder"
(one seed, three sets) has less error than "ours" in nine of twelve cells, 5 % less in the geometric
mean, and more in long blocks and tails of GunPoint.
"""
    rows = rows_of("imputation")
    models = [name for name in GAP_MODELS if select(rows, model=name)]
    for score in ("MAE", "CRPS", "coverage"):
        of_score = [row for row in rows if score in row]
        shown = [name for name in models if select(of_score, model=name)]
        lines = []
        for name in dict.fromkeys(row["set"] for row in of_score):
            for kind in different(select(of_score, set=name), "kind"):
                line = {score: name, "gaps": kind}
                for model in shown:
                    found = select(of_score, set=name, kind=kind, model=model)
                    line[model] = over_seeds(found, score)
                lines.append(line)
        text += "\n" + markdown(lines)
    lines = []
    for name in dict.fromkeys(row["set"] for row in rows):
        line = {"seconds of fit, of filling": name}
        for model in models:
            found = select(rows, set=name, model=model)
            parts = [mean_of(found, f"{part} seconds", 1) for part in ("fit", "fill")]
            line[model] = ", ".join(filter(None, parts))
        lines.append(line)
    return text + "\n" + markdown(lines)


def long_recordings():
    text = """## Long recordings

`python -m benchmarks.recordings seams` fits a default `WindowedEstimator` to a recording of 10,000
points and samples one of 20,000. A classifier tells stretches of half a window of the new recording
from real ones with the accuracies shown (0.5: it cannot): "seams" are around the places where
windows were joined, "inside" in the middle between them, "windows" those of the generator itself.
"waves" is made, the others are UCR test series end to end. Other work ran on the machine.
"""
    lines = []
    for row in rows_of("seams"):
        shown = {name: f"{row[name]:.3f}" for name in ("seams", "inside", "windows")}
        lines.append({"recording": row["recording"], "seed": str(row["seed"])} | shown)
        lines[-1] |= {"window": str(row["window"]), "stretches of each": str(row["n"])}
    text += "\n" + markdown(lines)
    text += """
`python -m benchmarks.recordings lengths` gives a default tokenizer recordings of three channels:
seconds on one thread, and the peak memory of the process in MB, of which about 400 are the imports.

"""
    steps = ("fit", "encode", "reconstruct", "transform", "anomaly_score")
    lines = [
        {"points": f"{row['n']:,}"}
        | {step: f"{row[f'{step} seconds']:.1f}" for step in steps}
        | {"peak MB": f"{row['peak MB']:.0f}"}
        for row in rows_of("recording_lengths")
    ]
    return text + markdown(lines)


def anomalies_found():
    text = """## Anomalies found

`python -m benchmarks.anomaly` plants one fault in each recording of 5,000 points, made of test
series of four sets end to end. A model is fitted to the recording itself, without being told, and
has a hit where its highest score lies in the faulty stretch, widened on both sides by 100 points or
by its length. Cells are shares of hits, with the standard error of a share in brackets. The sets
and seeds were used once, with a score that was chosen on other sets. Features are pooled over
windows, so that they know little of the order in them: a stretch that runs backwards, a piece that
is missing and a slower stretch are found less often by RandomConvolutionExtractor than by the
matrix profile, everything else more often. Seconds are those of a fit and of the score on one
thread, beside other processes.
"""
    rows = rows_of("anomaly")
    found = {model: select(rows, model=model) for model in ANOMALY_MODELS}
    found = {model: of_model for model, of_model in found.items() if of_model}
    lines = [
        {"fault": kind}
        | {model: mean_of(select(of, kind=kind), "hit", 2) for model, of in found.items()}
        for kind in FAULTS
    ]
    shares = {model: share_with_error(of_model, "hit") for model, of_model in found.items()}
    lines.append({"fault": "all"} | shares)
    counts = {model: str(len(of_model)) for model, of_model in found.items()}
    lines.append({"fault": "recordings"} | counts)
    seconds = {model: mean_of(of_model, "seconds", 1) for model, of_model in found.items()}
    lines.append({"fault": "seconds"} | seconds)
    of_sets = [
        {"set": name}
        | {model: share_with_error(select(of, set=name), "hit") for model, of in found.items()}
        for name in dict.fromkeys(row["set"] for row in rows)
    ]
    return text + "\n" + markdown(lines) + "\n" + markdown(of_sets)


def rare_classes():
    text = """## Rare classes filled up

`python -m benchmarks.oversampling` keeps all training series of the frequent class and a twentieth
as many of the rare one, which the seed draws. A default `SSLFeatureExtractor` is fitted to them
without labels; a ridge (StandardScaler, `RidgeClassifierCV`) on its features is fitted to them and
to what was added until both classes were equally frequent: by `RandomOverSampler` and `SMOTE` (on
flattened series) of imbalanced-learn, and by `GenerativeOverSampler` with its defaults ("ours").
"class weights" adds nothing and weighs the classes alike. Scores are those of the whole test set,
seconds those of adding series, on one thread beside two other processes. There are more features
than series, so that the ridge fits all training series anyway and hardly notices which of them are
weighted or drawn again. On Wafer "ours" has the highest balanced accuracy and recall with every
seed. On Earthquakes all are at chance: of 35 rare test series the others find four at most, and
"ours", whose generator has seen 13, none.
"""
    rows = rows_of("oversampling")
    lines = []
    for name in dict.fromkeys(row["set"] for row in rows):
        for model in OVER_SAMPLERS:
            found = select(rows, set=name, model=model)
            lines.append(
                {"set": name, "rare, frequent": f"{found[0]['rare']}, {found[0]['frequent']}"}
                | {"model": model, "balanced accuracy": over_seeds(found, "balanced accuracy")}
                | {"recall of the rare class": over_seeds(found, "recall")}
                | {"seconds": mean_of(found, "seconds")}
            )
    return text + "\n" + markdown(lines)


def unequal_lengths():
    text = """## Series of unequal length

`python -m benchmarks.unequal`: test accuracy of `RidgeClassifierCV` on standardised features of
series of unequal length, fitted with default parameters to the training series without labels.
"list" takes series of their own lengths with `missing="mask"`; "padding" repeats each at its last
value up to the length of the longest. Lists were behind on PLAID at first, and two faults were
found: the encoder saw the time beyond the end of a series as a gap (by cross-validation on its
training set), and the spectrum of a series that ends early had a step at its end (by series whose
last value is missing at random). Cells were measured anew after both.
"""
    rows = rows_of("unequal")
    lines = []
    for model in dict.fromkeys(row["model"] for row in rows):
        of_model = select(rows, model=model)
        for name in dict.fromkeys(row["set"] for row in of_model):
            line = {"model": model, "set": name}
            for way in ("list", "padding"):
                found = select(of_model, set=name, way=way)
                line |= {way: over_seeds(found, "accuracy")}
            lines.append(line)
        line = {"model": model, "set": "mean of the sets"}
        for way in ("list", "padding"):
            line |= {way: over_sets(select(of_model, way=way), "accuracy")}
        lines.append(line)
    return text + "\n" + markdown(lines)


def missing_values():
    text = """## Missing values

`python -m benchmarks.missing` lets 30 % of the points of training and test series be missing at
random, fits `SSLFeatureExtractor` and `VQTokenizer` to the training series without labels, and
classifies at most 1,000 test series by their features, standardised, with `RidgeClassifierCV`.
"mask" is `missing="mask"`; "interpolation" fills the same points linearly before a fit that knows
nothing of gaps. DodgerLoopDay and MelbournePedestrian have gaps of their own, of about 1 % and
0.3 % of the values. Single points that are missing at random cost next to nothing either way:
the masked fit and the lines before the fit are as good as each other. The codebooks of the default
features of `SSLFeatureExtractor` see lines across gaps as well, and ends where a series ends; a
tokenizer's loss and encoder know what is missing. On DodgerLoopDay, whose test set has 80 series,
the masked tokenizer is behind lines.
"""
    rows = rows_of("missing")
    ways = [way for way in WAYS if select(rows, way=way)]
    lines = []
    for model in TRANSFORMERS:
        for name in dict.fromkeys(row["set"] for row in rows):
            line = {"test accuracy": name, "features": model}
            for way in ways:
                found = select(rows, set=name, model=model, way=way)
                line[way] = over_seeds(found, "accuracy")
            lines.append(line)
        line = {"test accuracy": "mean of the four complete sets", "features": model}
        complete = [row for row in rows if row["set"] in SETS_WITHOUT_GAPS]
        for way in ways:
            line[way] = over_sets(select(complete, model=model, way=way), "accuracy")
        lines.append(line)
    return text + "\n" + markdown(lines)


def files_and_fits():
    text = """## Files and fits

`python -m benchmarks.robustness` kills, damages, forges and interrupts; "wrong" counts what must
not be: a file that is lost or opens though it is damaged or hostile, a fit that ends with other
bits, an interrupt that takes half a second or leaves a broken object or a process.
"""
    lines = [
        {name: str(row.get(name, "")) for name in ("figure", "tries", "wrong", "remarks")}
        for row in rows_of("robustness")
    ]
    return text + "\n" + markdown(lines)


def memory_and_growth():
    text = """## Memory and growth

`python -m benchmarks.memory` fits small estimators to a memory map of many series of length 140 and
reads it: megabytes of memory above those of a fit to 500 series, besides what a reading returns and
16 bytes for each token. The bound is 300.

"""
    rows = rows_of("memory")
    steps = ("fit", *READINGS)
    lines = [
        {"estimator": row["estimator"], "series": f"{row['series']:,}"}
        | {step: f"{max(row[step], 0):.0f}" if step in row else "" for step in steps}
        for row in rows
    ]
    text += markdown(lines)
    text += """
`python -m benchmarks.growth` fits small estimators for a fixed number of epochs, and reads the
series once: exponents of processor seconds and of peak memory, over the larger half of the sizes.
Memory that hardly grows has no meaningful exponent; the last columns are its megabytes at the
largest size.

"""
    rows = rows_of("growth")
    lines = []
    for name in dict.fromkeys(row["estimator"] for row in rows):
        for axis in different(select(rows, estimator=name), "axis"):
            found = sorted(select(rows, estimator=name, axis=axis), key=lambda row: row["size"])
            sizes = [row["size"] for row in found]
            line = {"estimator": name, "axis": axis, "sizes": f"{sizes[0]:,} to {sizes[-1]:,}"}
            for measure in MEASURES:
                values = [row[measure] for row in found]
                line[measure] = f"{exponent(sizes, values):.2f}"
                if measure.endswith("MB"):
                    line[f"{measure}, largest"] = f"{values[-1]:.0f}"
            lines.append(line)
    return text + markdown(lines)


def chain():
    text = """## The whole chain

`python -m benchmarks.chain` runs `fit`, 500 samples and `generation_report` of a default generator,
with this version and with commit 792e675 in turn, each in a process of its own on one thread
(2-core AMD EPYC with AVX-512 bfloat16). "two stages" is this version with `decoder=None`: it does
what that commit does, whose generators had no sampled decoder, and its report has one score more,
C2ST, for which classifiers are trained. GunPoint was measured before there was that decoder, and
before that score. What all generated is judged by one referee, an `FCNClassifier` trained in
float32 for 1,000 steps. "ratio" is that of the seconds of a pair.
"""
    rows = rows_of("chain")
    lines = []
    for name in different(rows, "set"):
        of_set = select(rows, set=name)
        for version in different(of_set, "version"):
            found = select(of_set, version=version)
            ratios = [
                row["total"] / select(of_set, version="792e675", seed=row["seed"])[0]["total"]
                for row in found
            ]
            lines.append(
                {"set": name, "version": version}
                | {column: over_seeds(found, column, 1) for column in ("fit", "sample", "report")}
                | {"seconds": over_seeds(found, "total", 1), "ratio": mean_and_spread(ratios, 2)}
                | {"FID": over_seeds(found, "FID", 2)}
                | {"FID, random convolutions": over_seeds(found, "FID rk", 1)}
                | {"CAS": over_seeds(found, "CAS")}
                | {"memorization": over_seeds(found, "memorization", 2)}
            )
    return text + "\n" + markdown(lines)


def earlier():
    text = """## FID beside an earlier version

`python -m benchmarks.earlier` fits this version and commit 792e675, whose generators had no sampled
decoder, on one machine (Intel Xeon with AMX), and judges what both generate by one referee: 500
series at most, of the classes of as many test series, against 1,000 test series. "mean" is this
version without its decoder. A referee of few training series is another one on another processor,
so these rows and those of the tables above differ. "ratio" is that of the means of "default" and of
792e675; the last line has the geometric mean of the ratios.
"""
    rows = rows_of("earlier")
    lines, ratios = [], []
    for name in different(rows, "set"):
        found = {version: select(rows, set=name, version=version) for version in EARLIER}
        fids = {version: [row["FID"] for row in of_one] for version, of_one in found.items()}
        ratios.append(np.mean(fids["default"]) / np.mean(fids["792e675"]))
        lines.append(
            {"set": name, "seeds": str(len(fids["default"]))}
            | {version: mean_and_spread(values, 3) for version, values in fids.items()}
            | {"ratio": f"{ratios[-1]:.2f}"}
        )
    lines.append({"set": "all", "ratio": f"{np.exp(np.mean(np.log(ratios))):.2f}"})
    columns = ["set", "seeds", *EARLIER, "ratio"]
    return text + "\n" + markdown([{c: line.get(c, "") for c in columns} for line in lines])


def precision():
    text = """## Precision

`python -m benchmarks.precision` fits each default estimator on one thread in float32 and in
bfloat16 (AMD EPYC with AVX-512 bfloat16). "accuracy" is that of a ridge classifier on the features
of transformers, and of the classifier itself; FID is as above, with one referee for both.
"difference" is that of the means, in standard errors of that difference. Other work ran on the
machine at times, so compare seconds only roughly. SyntheticControl was measured last, with a
generator that has a sampled decoder, and beside two other processes.
"""
    rows = rows_of("precision")
    lines = []
    for name in dict.fromkeys(row["estimator"] for row in rows):
        for set_name in different(rows, "set"):
            pair = [
                select(rows, estimator=name, set=set_name, precision=precision)
                for precision in ("float32", "bfloat16")
            ]
            if len(pair[0]) < 3 or len(pair[1]) < 3:  # of a run that was stopped
                continue
            quality = "FID" if "FID" in pair[0][0] else "accuracy"
            values = [np.array([row[quality] for row in found]) for found in pair]
            error = np.sqrt(sum(of_one.var(ddof=1) / len(of_one) for of_one in values))
            difference = values[1].mean() - values[0].mean()
            lines.append(
                {"estimator": name, "set": set_name, "score": quality}
                | {"float32": over_seeds(pair[0], quality)}
                | {"bfloat16": over_seeds(pair[1], quality)}
                | {"difference": f"{difference / error:+.1f}" if error else f"{difference:+.3f}"}
                | {"float32, seconds": over_seeds(pair[0], "seconds", 1)}
                | {"bfloat16, seconds": over_seeds(pair[1], "seconds", 1)}
            )
    return text + "\n" + markdown(lines)


def threads():
    text = """## Threads

`python -m benchmarks.threads`: seconds of default fits on GunPoint, one each, in fresh processes on
two cores that are otherwise idle, or where one other process computes without pause on one of them
("busy"); and of `cross_val_score` over five folds by `n_jobs`.
"""
    lines = []
    for row in rows_of("threads"):
        seconds = {way: f"{value:.1f}" for way, value in row.items() if way not in ("set", "what")}
        lines.append({"fit": row["what"]} | seconds)
    fits = [line for line in lines if "default" in line]
    searches = [line for line in lines if "default" not in line]
    return text + "\n" + markdown(fits) + "\n" + markdown(searches)


def recorded():
    text = """## Figures recorded by earlier sessions

The measurements behind these tables were not kept cell by cell. The files
`results/recorded_*.jsonl` hold the figures as they were printed at the time, so the tables cannot
be computed again; the commands measure them anew, with the code of today.
"""
    for name in ("tokenizer", "self_supervision", "generation", "speed"):
        rows = rows_of(f"recorded_{name}")
        for title in dict.fromkeys(row["table"] for row in rows):
            description, *lines = select(rows, table=title)
            cells = [{key: cell for key, cell in line.items() if key != "table"} for line in lines]
            text += f"\n### {title}\n\n{description['text']}\n\n{markdown(cells)}"
    return text


SECTIONS = (
    features,
    representations,
    few_labels,
    tokens_and_classes,
    published_settings,
    fine_tuning,
    generators,
    continuous_and_discrete_latents,
    told_apart,
    earlier,
    gaps_filled,
    long_recordings,
    anomalies_found,
    rare_classes,
    missing_values,
    unequal_lengths,
    files_and_fits,
    memory_and_growth,
    tokenizers_and_orders,
    referees,
    doubles,
    chain,
    precision,
    threads,
    recorded,
)


def page():
    """Return the text of RESULTS.md."""
    return "\n".join([INTRODUCTION, *(section() for section in SECTIONS)])


if __name__ == "__main__":
    PATH.write_text(page(), encoding="utf-8")
    print(f"written: {PATH}")
