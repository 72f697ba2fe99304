"""Dates as in English, and the separators of numbers of Brazil, which Django has. People may also
type dates as usual there. Django looks here for pt-br, because no folder has this name."""

from django.conf.locale.pt_BR import formats

from ..en.formats import *  # noqa: F403 - all of them

DATE_INPUT_FORMATS = ["%Y-%m-%d", *formats.DATE_INPUT_FORMATS]
DATETIME_INPUT_FORMATS = ["%Y-%m-%d %H:%M:%S", *formats.DATETIME_INPUT_FORMATS]
