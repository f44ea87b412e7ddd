"""Whose the methods are: what a study's text cites."""

from __future__ import annotations

_SOURCES = {
    "Airola 2011": "Airola A, Pahikkala T, Waegeman W, De Baets B, Salakoski T. An experimental "
    "comparison of cross-validation techniques for estimating the area under the ROC curve. "
    "Computational Statistics & Data Analysis 2011;55:1828-1844.",
    "Brier 1950": "Brier GW. Verification of forecasts expressed in terms of probability. Monthly "
    "Weather Review 1950;78:1-3.",
    "Collins 2024": "Collins GS, Moons KGM, Dhiman P, et al. TRIPOD+AI statement. BMJ "
    "2024;385:e078378.",
    "Cox 1958": "Cox DR. Two further applications of a model for binary regression. Biometrika "
    "1958;45:562-565.",
    "Geirhos 2020": "Geirhos R, Jacobsen JH, Michaelis C, et al. Shortcut learning in deep neural "
    "networks. Nature Machine Intelligence 2020;2:665-673.",
    "Hanley 1982": "Hanley JA, McNeil BJ. The meaning and use of the area under a receiver "
    "operating characteristic (ROC) curve. Radiology 1982;143:29-36.",
    "Hillis 2007": "Hillis SL. A comparison of denominator degrees of freedom methods for multiple "
    "observer ROC analysis. Statistics in Medicine 2007;26:596-619.",
    "Holm 1979": "Holm S. A simple sequentially rejective multiple test procedure. Scandinavian "
    "Journal of Statistics 1979;6:65-70.",
    "Obuchowski 1995": "Obuchowski NA, Rockette HE. Hypothesis testing of diagnostic accuracy for "
    "multiple readers and multiple tests: an ANOVA approach with dependent observations. "
    "Communications in Statistics - Simulation and Computation 1995;24:285-308.",
    "Tejani 2024": "Tejani AS, Klontzas ME, Gatti AA, et al. Checklist for artificial intelligence "
    "in medical imaging (CLAIM): 2024 update. Radiology: Artificial Intelligence 2024;6:e240300.",
}


def cited(text: str) -> list[str]:
    """The sources whose names are in a text, as a list of references has them."""
    flat = " ".join(text.split())
    return [source for name, source in _SOURCES.items() if name in flat]
