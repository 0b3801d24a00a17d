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
from ._information.continuous import (
    differential_entropy,
    gaussian_entropy,
    gaussian_kl_divergence,
    kl_divergence_of_samples,
    mutual_information_of_samples,
)
from ._information.discrete import (
    cross_entropy,
    entropy,
    inception_score,
    inception_score_extrapolated,
    kl_divergence,
    mutual_information,
    perplexity,
)
from ._information.tokens import CodeLength, code_length, token_label_information
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
    "CodeLength",
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
    "code_length",
    "cross_entropy",
    "density_coverage",
    "differential_entropy",
    "discriminative_score",
    "entropy",
    "frechet_distance",
    "frechet_distance_extrapolated",
    "frechet_distance_from_statistics",
    "gaussian_entropy",
    "gaussian_kl_divergence",
    "generation_report",
    "get_scorer",
    "get_scorer_names",
    "inception_score",
    "inception_score_extrapolated",
    "inception_scorer",
    "kernel_distance",
    "kl_divergence",
    "kl_divergence_of_samples",
    "make_generation_scorer",
    "memorization_score",
    "mutual_information",
    "mutual_information_of_samples",
    "neg_fcn_fid_scorer",
    "neg_fid_scorer",
    "perplexity",
    "reconstruction_error",
    "token_label_information",
]
