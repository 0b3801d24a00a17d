"""Generators of series: their stages of fitting, sampling, imputation and anomalies."""
