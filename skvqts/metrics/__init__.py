"""Scores of generated series: FID, inception score, CAS, and what to compare them with."""

from ._classifiers import (
    TwoSampleTest,
    classification_accuracy_score,
    classifier_two_sample_test,
    discriminative_score,
)
from ._density import DensityCoverage, density_coverage, kernel_distance
from ._displays import EmbeddingDisplay, LabelFractionsDisplay, LatentDisplay, SeriesDisplay
from ._frechet import (
    ReferenceStatistics,
    frechet_distance,
    frechet_distance_extrapolated,
    frechet_distance_from_statistics,
)
from ._information import (
    cross_entropy,
    entropy,
    inception_score,
    inception_score_extrapolated,
    kl_divergence,
    mutual_information,
    perplexity,
)
from ._memorization import memorization_score
from ._report import GenerationReport, Score, generation_report
from ._scorers import (
    GenerationScorer,
    classification_accuracy_scorer,
    get_scorer,
    get_scorer_names,
    inception_scorer,
    make_generation_scorer,
    neg_fcn_fid_scorer,
    neg_fid_scorer,
)
from ._series import autocorrelation_difference, reconstruction_error

__all__ = [
    "DensityCoverage",
    "EmbeddingDisplay",
    "GenerationReport",
    "GenerationScorer",
    "LabelFractionsDisplay",
    "LatentDisplay",
    "ReferenceStatistics",
    "Score",
    "SeriesDisplay",
    "TwoSampleTest",
    "autocorrelation_difference",
    "classification_accuracy_score",
    "classification_accuracy_scorer",
    "classifier_two_sample_test",
    "cross_entropy",
    "density_coverage",
    "discriminative_score",
    "entropy",
    "frechet_distance",
    "frechet_distance_extrapolated",
    "frechet_distance_from_statistics",
    "generation_report",
    "get_scorer",
    "get_scorer_names",
    "inception_score",
    "inception_score_extrapolated",
    "inception_scorer",
    "kernel_distance",
    "kl_divergence",
    "make_generation_scorer",
    "memorization_score",
    "mutual_information",
    "neg_fcn_fid_scorer",
    "neg_fid_scorer",
    "perplexity",
    "reconstruction_error",
]
