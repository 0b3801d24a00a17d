"""Generators of series: two stages of fitting, sampling, imputation and anomalies."""
