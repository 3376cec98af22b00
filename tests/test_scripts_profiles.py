"""The page of the profiles is what the profiles and their plans say."""

from pathlib import Path

from scripts.profiles import page


def test_the_page_of_the_profiles_is_up_to_date() -> None:
    found = (Path(__file__).parent.parent / "docs" / "profiles.md").read_text("utf-8")
    assert found == page(), "run python scripts/profiles.py"
