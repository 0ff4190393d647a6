"""The pictures of a pair in a page: each picture's pixels once, shown by reference wherever they are wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from VoxelMorphRegistrationLib.pipeline.report import colours
from VoxelMorphRegistrationLib.pipeline.report.colours import Stop
from VoxelMorphRegistrationLib.pipeline.report.figures import PairPictures, PlanePictures
from VoxelMorphRegistrationLib.pipeline.report.images import Pixels, data_uri
from VoxelMorphRegistrationLib.pipeline.report.markup import Child, Element, element
from VoxelMorphRegistrationLib.pipeline.report.parts import number

_UNIT = "0 0 100 100"
_TILE = 12.5
_EDGES = {"axial": "RLAP", "coronal": "RLSI", "sagittal": "APSI"}
"""What lies on the left, right, top and bottom of a plane."""
_LEGEND_WIDTH, _BAR_HEIGHT = 360, 16

_MODES = {"blend": "Blend", "curtain": "Curtain", "checker": "Checkerboard", "difference": "Difference"}
_PAIRS = {"before": "Before", "after": "After"}


class PictureParts:
    """The pieces that show one pair; ``key`` tells pairs on one page apart."""

    def __init__(self, pictures: PairPictures, key: str = "p", *, maps: bool = True) -> None:
        """``maps``: also the Jacobian, the displacement and the grid."""
        self._pictures, self._key = pictures, key
        self._kinds: dict[str, Callable[[PlanePictures], Pixels]] = {
            "fixed": lambda plane: plane.fixed,
            "before": lambda plane: plane.before,
            "after": lambda plane: plane.after,
        }
        if maps:
            self._kinds |= {
                "jacobian": lambda plane: plane.jacobian,
                "magnitude": lambda plane: plane.magnitude,
                "grid": lambda plane: plane.grid,
            }

    def store(self) -> Element:
        """All pixels; has to be in the page once, before the others."""
        images = [
            element("image", id=self._id(kind, plane), href=data_uri(pixels(plane)), width=100, height=100)
            for kind, pixels in self._kinds.items()
            for plane in self._pictures.planes
        ]
        return _defs(images)

    def viewer(self) -> Element:
        """Fixed and moving volume over each other, to be blended by hand."""
        controls = element(
            "div",
            self._choice("pair", _PAIRS, "after", "Which moving volume"),
            self._choice("mode", _MODES, "blend", "How both are shown"),
            element(
                "label",
                element("span", "Fixed"),
                element(
                    "input", type="range", min=0, max=100, value=50, aria_label="From the fixed to the moving volume"
                ),
                element("span", "Moving"),
                class_="mix",
            ),
            class_="controls",
        )
        stages = [
            _stage(
                plane.name,
                f"{plane.name} plane, fixed and moving volume over each other",
                self._layer("fixed", plane),
                self._layer("before", plane, "over before"),
                self._layer("after", plane, "over after"),
            )
            for plane in self._pictures.planes
        ]
        return element(
            "div",
            controls,
            element("div", stages, class_="planes"),
            class_="viewer interactive",
            data_mode="blend",
            data_pair="after",
            style="--mix: .5",
        )

    def rows(self, kinds: Sequence[tuple[str, str]]) -> Element:
        """Rows of three planes: (kind, what stands over the row)."""
        rows: list[Child] = []
        for kind, said in kinds:
            rows += [
                element("div", said, class_="row-name"),
                element("div", [self._still(plane, kind, said) for plane in self._pictures.planes], class_="planes"),
            ]
        return element("div", rows, class_="rows")

    def checkerboards(self) -> Element:
        """Fixed and moving volume taking turns in tiles, before and after."""
        rows: list[Child] = []
        for kind, said in (("before", "Before"), ("after", "After")):
            stages = [
                _stage(
                    plane.name,
                    f"{plane.name} plane, checkerboard of fixed and moving volume, {said.lower()}",
                    self._layer("fixed", plane),
                    self._layer(kind, plane, "tiled"),
                )
                for plane in self._pictures.planes
            ]
            rows += [element("div", said, class_="row-name"), element("div", stages, class_="planes")]
        return element("div", rows, class_="rows")

    def jacobian(self) -> Element:
        """Where the transform shrinks, grows or folds."""
        limit = colours.JACOBIAN_LIMIT
        bar = _bar(
            f"{self._key}-jacobian-bar",
            colours.jacobian_stops(),
            {0.0: f"÷ {limit:g} or less", 0.5: "1: volume kept", 1.0: f"× {limit:g} or more"},
        )
        folded = f"rgb({', '.join(map(str, colours.FOLDED))})"
        key = element("span", element("i", style=f"background:{folded}"), "folded (0 or less)", class_="key")
        return element(
            "figure",
            self._map("jacobian", "fixed", "Jacobian determinant over the fixed volume"),
            element("div", bar, key, class_="scale"),
            element(
                "figcaption",
                "Jacobian determinant, over the fixed volume: how much larger (orange) or smaller (blue) each place is "
                "in the moving volume than in the fixed one. Smooth colours are what anatomy does; specks, and pink "
                "anywhere, are not.",
            ),
        )

    def magnitude(self) -> Element:
        """How far each point goes."""
        most = self._pictures.largest_mm
        bar = _bar(
            f"{self._key}-magnitude-bar",
            colours.magnitude_stops(),
            {0.0: "0 mm", 0.5: number(most / 2, " mm", 2), 1.0: number(most, " mm or more", 2)},
        )
        return element(
            "figure",
            self._map("magnitude", "fixed", "length of the displacement over the fixed volume"),
            element("div", bar, class_="scale"),
            element(
                "figcaption",
                "Displacement, over the fixed volume: how far each point of it goes, the linear part included.",
            ),
        )

    def grid(self) -> Element:
        """What the transform makes of a straight grid."""
        return element(
            "figure",
            self._map("grid", "after", "grid over the moved volume"),
            element(
                "figcaption",
                f"A straight grid of {self._pictures.grid_mm:g} mm drawn into the moving volume and carried along by "
                "the transform. Lines may bend; they should not cross, form loops or break off.",
            ),
        )

    # ---- pieces of these -------------------------------------------------------------------------------------------

    def _id(self, kind: str, plane: PlanePictures) -> str:
        return f"{self._key}-{kind}-{plane.name}"

    def _layer(self, kind: str, plane: PlanePictures, class_: str | None = None) -> Element:
        use = element("use", href=f"#{self._id(kind, plane)}")
        return element("svg", element("g", use), viewBox=_UNIT, class_=class_, aria_hidden="true")

    def _still(self, plane: PlanePictures, kind: str, said: str) -> Element:
        return _stage(plane.name, f"{plane.name} plane: {said}", self._layer(kind, plane))

    def _map(self, kind: str, under: str, said: str) -> Element:
        stages = [
            _stage(
                plane.name,
                f"{plane.name} plane: {said}",
                self._layer(under, plane, "dim"),
                self._layer(kind, plane),
            )
            for plane in self._pictures.planes
        ]
        return element("div", stages, class_="planes")

    def _choice(self, sets: str, choices: dict[str, str], chosen: str, label: str) -> Element:
        return element(
            "div",
            [
                element(
                    "label",
                    element(
                        "input",
                        type="radio",
                        name=f"{self._key}-{sets}",
                        value=value,
                        data_sets=sets,
                        checked=value == chosen,
                    ),
                    element("span", said),
                )
                for value, said in choices.items()
            ],
            class_="segments",
            role="radiogroup",
            aria_label=label,
        )


def tiles_mask() -> Element:
    """The checkerboard's tiles; has to be in a page once."""
    squares = [element("rect", x=at, y=at, width=_TILE, height=_TILE, fill="#fff") for at in (0, _TILE)]
    pattern = element("pattern", squares, id="tiles-pattern", width=2 * _TILE, height=2 * _TILE)
    pattern.set("patternUnits", "userSpaceOnUse")
    mask = element("mask", element("rect", width=100, height=100, fill="url(#tiles-pattern)"), id="tiles")
    mask.set("maskUnits", "userSpaceOnUse")
    for name, value in (("x", 0), ("y", 0), ("width", 100), ("height", 100)):
        mask.set(name, str(value))
    return _defs([pattern, mask])


def _defs(content: Iterable[Element]) -> Element:
    return element("svg", element("defs", list(content)), class_="store", aria_hidden="true")


def _stage(plane: str, label: str, *layers: Element) -> Element:
    sides = zip(_EDGES[plane], "wens", strict=True)
    edges = [element("span", letter, class_=f"edge {side}", aria_hidden="true") for letter, side in sides]
    return element("div", *layers, edges, class_="stage", role="img", aria_label=label)


def _bar(key: str, stops: Sequence[Stop], said: dict[float, str]) -> Element:
    """A colour bar as in the maps: over black, as transparent as there."""
    gradient = element(
        "linearGradient",
        [
            element("stop", offset=f"{stop.at:.4f}", stop_color=f"rgb{stop.rgb}", stop_opacity=f"{stop.opacity:.3f}")
            for stop in stops
        ],
        id=key,
    )
    box = {"width": _LEGEND_WIDTH, "height": _BAR_HEIGHT, "rx": 4}
    anchors = {0.0: "start", 1.0: "end"}
    texts = [
        element("text", text, x=at * _LEGEND_WIDTH, y=_BAR_HEIGHT + 16, text_anchor=anchors.get(at, "middle"))
        for at, text in said.items()
    ]
    bar = [element("rect", fill="#333", **box), element("rect", fill=f"url(#{key})", **box)]
    return element(
        "svg",
        element("defs", gradient),
        bar,
        texts,
        viewBox=f"0 0 {_LEGEND_WIDTH} {_BAR_HEIGHT + 22}",
        role="img",
        aria_label="colour bar: " + ", ".join(said.values()),
    )
