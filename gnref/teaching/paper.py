"""What the paper reports (Wu & He, "Group Normalization", ECCV 2018), table by table, as data.

Every figure has a status, and every comparison takes its figures from here:

- "V", verified: read in two copies of the paper, or in its authors' code;
- "N": from one reader's notes, not compared with the paper. `MARK` stands at it wherever it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MARK = "†"
MARK_MEANS = f"{MARK} from one reader's notes, not compared with the paper"
SHORT = {
    "batch": "BN",
    "layer": "LN",
    "instance": "IN",
    "group": "GN",
    "weight": "weight normalization",
    "renorm": "Batch Renorm",
}  # the paper's names of the norms that are rows below

Column = str | int | tuple[int, int]


@dataclass(frozen=True)
class Reported:
    """A table of the paper.

    Attributes
    ----------
    title, source : str
        What it shows, and where it stands in the paper.
    measure : str
        What its figures are.
    across : str
        What its columns are.
    columns : tuple
        Their keys: a size, a name, or (frames, clips).
    rows : mapping
        The figures by a row's key, in the order of the columns; None where the paper has none. The key of
        a norm is gnref's name for it.
    from_notes : frozenset
        The (row, column) of status N.

    Examples
    --------
    >>> BATCH_SIZE["batch", 2]
    34.7
    >>> BATCH_SIZE.row("group")
    {32: 24.1, 16: 24.2, 8: 24.0, 4: 24.2, 2: 24.1}
    >>> CHANNELS_PER_GROUP.status("group", 8), CHANNELS_PER_GROUP.cell("group", 8)
    ('N', '24.3†')
    """

    title: str
    source: str
    measure: str
    across: str
    columns: tuple[Column, ...]
    rows: Mapping[str, tuple[float | None, ...]]
    from_notes: frozenset[tuple[str, Column]] = frozenset()

    def __getitem__(self, at: tuple[str, Column]) -> float:
        """The figure of a row and a column."""
        row, column = at
        found = self.row(row)
        if column not in found:
            raise KeyError(f"column is {column!r}; expected one of {', '.join(map(repr, found))}")
        return found[column]

    def row(self, row: str) -> dict[Column, float]:
        """Return a row's figures by column, without those that the paper does not have."""
        if row not in self.rows:
            raise KeyError(f"row is {row!r}; expected one of {', '.join(map(repr, self.rows))}")
        pairs = zip(self.columns, self.rows[row], strict=True)
        return {column: figure for column, figure in pairs if figure is not None}

    def status(self, row: str, column: Column) -> str:
        """Return "V" or "N", the status of a figure."""
        self[row, column]  # there is one
        return "N" if (row, column) in self.from_notes else "V"

    def cell(self, row: str, column: Column) -> str:
        """Return a figure as it is shown, with `MARK` if its status is N; "-" where the paper has none."""
        if column not in self.row(row):
            return "-"
        return f"{self[row, column]:.1f}{MARK if self.status(row, column) == 'N' else ''}"


def name(row: str) -> str:
    """Return a row's name as the paper has it: "BN" for "batch"."""
    return SHORT.get(row, row)


IMAGENET = "ImageNet, ResNet-50, validation error (%)"
COCO = "COCO, Mask R-CNN, average precision (AP)"
KINETICS = "Kinetics, ResNet-50 I3D, accuracy (%)"
AP = ("box AP", "mask AP")

NORMS = Reported(
    "The norms at 32 images per GPU",
    "Table 1; weight normalization: sec. 4.1",
    IMAGENET,
    "",
    ("error",),
    {"batch": (23.6,), "layer": (25.3,), "instance": (28.4,), "group": (24.1,), "weight": (28.2,)},
)

BATCH_SIZE = Reported(
    "Batch size",
    "Table 2, Fig. 1; Batch Renorm: sec. 4.1",
    IMAGENET,
    "images per GPU",
    (32, 16, 8, 4, 2),
    {
        "batch": (23.6, 23.7, 24.8, 27.3, 34.7),
        "group": (24.1, 24.2, 24.0, 24.2, 24.1),
        "renorm": (None, None, None, 26.3, None),
    },
)

DEEPER = Reported(
    "A deeper network",
    "sec. 4.1",
    "ImageNet, ResNet-101, validation error (%)",
    "images per GPU",
    (32, 2),
    {"batch": (22.0, 31.9), "group": (22.4, 23.0)},
)

GROUPS = Reported(
    "Number of groups; 1 is LN",
    "Table 3, top",
    IMAGENET,
    "groups, G",
    (64, 32, 16, 8, 4, 2, 1),
    {"group": (24.6, 24.1, 24.6, 24.4, 24.6, 24.7, 25.3)},
)

CHANNELS_PER_GROUP = Reported(
    "Channels per group; 1 is IN",
    "Table 3, bottom",
    IMAGENET,
    "channels per group, K",
    (64, 32, 16, 8, 4, 2, 1),
    {"group": (24.4, 24.5, 24.2, 24.3, 24.8, 25.6, 28.4)},
    from_notes=frozenset(("group", K) for K in (32, 16, 8, 4, 2)),
)

FINE_TUNING_C4 = Reported(
    "Fine-tuning, C4, ResNet-50; BN* is frozen",
    "Table 4",
    COCO,
    "",
    AP,
    {"BN*": (37.7, 32.8), "GN": (38.8, 33.6)},
)

FINE_TUNING_HEAD = Reported(
    "Fine-tuning, FPN with a 4conv1fc head, ResNet-50",
    "Table 5",
    COCO,
    "",
    AP,
    {"BN*": (38.6, 34.2), "BN*, GN in the head": (39.5, 34.4), "GN in both": (40.0, 34.8)},
)

FINE_TUNING = Reported(
    "Fine-tuning, FPN; long: a longer training",
    "Table 6",
    COCO,
    "",
    AP,
    {
        "ResNet-50, BN*": (38.6, 34.5),
        "ResNet-50, GN": (40.3, 35.7),
        "ResNet-50, GN, long": (40.8, 36.1),
        "ResNet-101, BN*": (40.9, 36.4),
        "ResNet-101, GN": (41.8, 36.8),
        "ResNet-101, GN, long": (42.3, 37.2),
    },
)

FROM_SCRATCH = Reported(
    "From scratch, FPN",
    "Table 7",
    COCO,
    "",
    AP,
    {
        "ResNet-50, BN, synchronized": (34.5, None),
        "ResNet-50, GN": (39.5, 35.2),
        "ResNet-101, GN": (41.0, 36.4),
    },
)

VIDEO = Reported(
    "Video, top 1",
    "Table 8",
    KINETICS,
    "frames / clips per GPU",
    ((32, 8), (32, 4), (64, 4)),
    {"batch": (73.3, 72.1, 73.3), "group": (73.0, 72.8, 74.5)},
)

VIDEO_TOP_5 = Reported(
    "Video, top 5",
    "Table 8",
    KINETICS,
    "frames / clips per GPU",
    ((32, 8), (32, 4), (64, 4)),
    {"batch": (90.7, 90.0, 90.8), "group": (90.6, 90.6, 91.7)},
)

IN_THE_TEXT = Reported(
    "Differences that the text gives",
    "sec. 4.2",
    COCO,
    "",
    ("AP",),
    {"BN not frozen, 2 images per GPU, less BN* (about)": (-6.0,), "LN less GN (box AP)": (-1.9,)},
)

SMALL_SCALE = Reported(
    "At small scale: the authors' own code for CIFAR-10",
    "the authors' code",
    "CIFAR-10, error (%)",
    "",
    ("error",),
    {"GN less BN (about)": (1.3,)},
)

TABLES = {
    "norms": NORMS,
    "batch size": BATCH_SIZE,
    "deeper": DEEPER,
    "groups": GROUPS,
    "channels per group": CHANNELS_PER_GROUP,
    "fine-tuning, C4": FINE_TUNING_C4,
    "fine-tuning, head": FINE_TUNING_HEAD,
    "fine-tuning": FINE_TUNING,
    "from scratch": FROM_SCRATCH,
    "video": VIDEO,
    "video, top 5": VIDEO_TOP_5,
    "in the text": IN_THE_TEXT,
    "small scale": SMALL_SCALE,
}

# How it was measured, all of status V; what the small experiments take over, they take from here.
PROTOCOL = {
    "groups": "G = 32 unless a table says otherwise, of neighbouring channels",
    "norms": "eps under the root, biased variance, a weight and a bias per channel for all four norms",
    "start": "the weight (gamma) is 1, and 0 in the last norm of each residual block",
    "weight decay": "on gamma and beta too in ImageNet; 0 on them when detectors are fine-tuned",
    "learning rate": "0.1 * N / 32 for N images per GPU on 8 GPUs",
    "schedule": "100 epochs, the learning rate divided by 10 after 30, 60 and 90",
    "reported": "the median of the last 5 epochs",
}
