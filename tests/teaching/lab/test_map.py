import re
from pkgutil import walk_packages

from gnref.teaching import lab


def test_the_package_s_docstring_names_every_file_and_no_other():
    """An experiment's further files begin with its name."""
    modules = {module.name.split(".")[-1] for module in walk_packages(lab.__path__, "gnref.teaching.lab.")}
    named = set(re.findall(r"(?<!`)`(?:[\w]+\.)?(\w+)`(?!`)", lab.__doc__)) - {"Experiment"}
    experiments = ("batch_size_", "groups_", "finetune_", "video_")
    assert {name for name in modules - named if not name.startswith(experiments)} == set()
    assert named - modules == set()
