"""Dates as in English, and the separators of numbers of this language, which Django has. People may
also type dates as usual in this language."""

from django.conf.locale.fr import formats

from ..en.formats import *  # noqa: F403 - all of them

DATE_INPUT_FORMATS = ["%Y-%m-%d", *formats.DATE_INPUT_FORMATS]
DATETIME_INPUT_FORMATS = ["%Y-%m-%d %H:%M:%S", *formats.DATETIME_INPUT_FORMATS]
