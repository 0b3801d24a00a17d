"""timevqvae as a generator with `fit` and `sample`, by the loops of its README."""

import numpy as np
import torch
from sklearn.base import BaseEstimator

from benchmarks.rivals import reconstruction_loss, timevqvae_model, train_for

CODES = 1024
CHUNK = 256  # series that are generated at a time


class TimeVQVAEGenerator(BaseEstimator):
    """Both stages of timevqvae with the models of its README.

    Parameters
    ----------
    seconds : float
        Seconds of training, half of them for each stage. The learning rate of each stage falls
        along a cosine.
    n_threads : int
    random_state : int
    """

    def __init__(self, seconds, n_threads=1, random_state=0):
        self.seconds = seconds
        self.n_threads = n_threads
        self.random_state = random_state

    def fit(self, X, y):
        torch.manual_seed(self.random_state)
        np.random.seed(self.random_state)  # noqa: NPY002 - timevqvae draws from it
        torch.set_num_threads(self.n_threads)
        self.X_fit_ = X
        self.y_fit_ = y
        self.classes_, classes = np.unique(y, return_inverse=True)
        self.class_counts_ = np.bincount(classes)
        self._mean = X.mean()
        self._std = X.std()
        x = torch.from_numpy(((X - self._mean) / self._std).astype(np.float32))
        self._vqvae = timevqvae_model(*X.shape[1:])
        train_for(self.seconds / 2, self._vqvae, reconstruction_loss, x)
        self._maskgit = timevqvae_prior(self._vqvae.eval(), len(self.classes_))
        labels = torch.from_numpy(classes)[:, None]
        train_for(self.seconds / 2, self._maskgit, _stage_2_loss, x, labels)
        return self

    @torch.no_grad()
    def sample(self, n_samples=None, *, y=None, random_state=None, return_y=False):
        rng = np.random.RandomState(random_state)
        torch.manual_seed(rng.randint(2**31 - 1))
        np.random.seed(rng.randint(2**31 - 1))  # noqa: NPY002
        if y is None:
            shares = self.class_counts_ / self.class_counts_.sum()
            y = rng.choice(self.classes_, n_samples or 1, p=shares)
        classes = torch.from_numpy(np.searchsorted(self.classes_, y))[:, None]
        parts = [self._decoded(part) for part in classes.split(CHUNK)]
        X = torch.cat(parts).numpy() * self._std + self._mean
        return (X, np.asarray(y)) if return_y else X

    def _decoded(self, classes):
        low, high = self._maskgit.iterative_decoding(
            num_samples=len(classes), mode="cosine", class_condition=classes, device="cpu"
        )
        decode = self._maskgit.decode_token_ind_to_timeseries
        return decode(low, frequency="lf") + decode(high, frequency="hf")


def _stage_2_loss(model, x, classes):
    return model(x, classes).total_mask_prediction_loss


def timevqvae_prior(vqvae, n_classes):
    """Build the prior of the README of timevqvae."""
    from timevqvae.maskgit import MaskGIT, PriorModelConfig

    shared = {"ff_mult": 1, "use_rmsnorm": True, "p_unconditional": 0.2}
    dropout = {"model_dropout": 0.3, "emb_dropout": 0.3}
    low = PriorModelConfig(hidden_dim=128, n_layers=4, heads=2, **shared, **dropout)
    high = PriorModelConfig(hidden_dim=32, n_layers=1, heads=1, **shared, **dropout)
    return MaskGIT(
        vqvae=vqvae,
        lf_choice_temperature=10.0,
        hf_choice_temperature=0.0,
        lf_num_sampling_steps=10,
        hf_num_sampling_steps=10,
        lf_codebook_size=CODES,
        hf_codebook_size=CODES,
        transformer_embedding_dim=128,
        lf_prior_model_config=low,
        hf_prior_model_config=high,
        classifier_free_guidance_scale=1.0,
        n_classes=n_classes,
    )
