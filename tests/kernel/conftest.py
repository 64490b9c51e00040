"""The kernel's tools as fixtures."""

from pathlib import Path

import pytest

from tests.captures.conftest import shared_folder as shared_folder  # one folder of trails for all tests
from tests.conftest import REPOSITORY, Unavailable
from tests.kernel.page_owner_sort import MissingBuildInput, build_page_owner_sort


@pytest.fixture(scope="session")
def page_owner_sort(unavailable: Unavailable) -> Path:
    """Return the path of the kernel's own page_owner_sort."""
    try:
        return build_page_owner_sort(REPOSITORY / ".cache")
    except MissingBuildInput as error:
        unavailable("page_owner_sort", str(error))
