"""Accuracies that others have published, to stand beside those measured here."""

# FCN: Wang et al. (2017), retrained five times by Ismail Fawaz et al. (2019)
FCN = {
    "TwoPatterns": 0.870,
    "Wafer": 0.997,
    "FordA": 0.914,
    "Symbols": 0.955,
    "SonyAIBORobotSurface1": 0.958,
    "ItalyPowerDemand": 0.963,
}

# NC-VQVAE: Mathisen (2024, arXiv 2408.16613); linear SVC on means of quantized latents, the mean
# and standard deviation of its runs; without an objective, and with Barlow Twins and two of its
# augmentations
NC_VQVAE = {
    "TwoPatterns": {"none": "0.529 ± 0.077", "slice": "0.823 ± 0.020", "warp": "0.906 ± 0.035"},
    "FordA": {"none": "0.742 ± 0.050", "slice": "0.894 ± 0.033", "warp": "0.839 ± 0.050"},
    "ShapesAll": {"none": "0.305 ± 0.022", "slice": "0.604 ± 0.035", "warp": "0.552 ± 0.039"},
}
