"""A model described: as lines for a person, or as plain data for JSON. In: a subject. Out: text or data."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivl.cli.subject import Subject
from ivl.errors import InputError, TokenizerError

if TYPE_CHECKING:
    from ivl.explain.anatomy import Anatomy, PictureCost
    from ivl.model.config import InternVLConfig

GIB = 2**30


def numbers(subject: Subject) -> dict[str, Any]:
    """Everything that is shown, under plain names."""
    from ivl.explain.anatomy import anatomy

    config, body = subject.config, anatomy(subject.config)
    most = config.max_tiles if config.dynamic_image_size else 1
    return {
        "model": subject.title,
        "folder": str(subject.folder) if subject.folder else None,
        "parameters": {
            "vision_model": body.vision_parameters,
            "connector": body.connector_parameters,
            "language_model": body.language_parameters,
            "total": body.total_parameters,
        },
        "weight_bytes": body.weight_bytes,
        "kv_bytes_per_1000_tokens": {name: 1000 * size for name, size in body.kv_bytes_per_token.items()},
        "tile_size": config.image_size,
        "tokens_per_tile": config.tokens_per_tile,
        "min_tiles": config.min_tiles,
        "max_tiles": most,
        "use_thumbnail": config.use_thumbnail,
        "max_tokens_per_picture": (most + (config.use_thumbnail and most > 1)) * config.tokens_per_tile,
        "template": config.template,
        "stop_tokens": stop_tokens(subject),
        "context": config.text.max_positions,
        "vocabulary": config.text.vocab_size,
        "vision": asdict(config.vision),
        "text": asdict(config.text),
    }


def describe(subject: Subject) -> tuple[str, dict[str, Any]]:
    """The same for a person to read, and as plain data."""
    from ivl.explain.anatomy import anatomy

    config, body, data = subject.config, anatomy(subject.config), numbers(subject)
    where = f"in {subject.folder}" if subject.folder else "published; its numbers are known without its files"
    lines = [
        f"{subject.title}: {where}",
        "",
        *_parts(config, body),
        "",
        f"memory    weights  {_by_dtype(body.weight_bytes)}",
        f"          cache    {_by_dtype(data['kv_bytes_per_1000_tokens'])} for each 1,000 tokens",
        f"pictures  {_tiles(config)}",
        f"          {config.tokens_per_tile} tokens a tile, {data['max_tokens_per_picture']:,} at most",
        f"text      template {config.template}, stops at {_stops(data['stop_tokens'])}",
        f"          context {config.text.max_positions:,} tokens, vocabulary {config.text.vocab_size:,}",
    ]
    return "\n".join(lines), data


def draw(subject: Subject, image: str, path: Path, *, max_tiles: int | None, as_viewed: bool) -> "PictureCost":
    """Draw a picture's tiles over it into a PNG file. Raises ImageError, SettingsError, InputError."""
    from ivl.explain.anatomy import picture_cost
    from ivl.explain.grids import draw_grid
    from ivl.processing import load_image

    config, picture = subject.config, load_image(image, as_viewed=as_viewed)
    cost = picture_cost(config, *picture.size, max_tiles=max_tiles)
    drawing = draw_grid(picture, cost.columns, cost.rows, config.image_size, cost.tokens_per_tile, cost.has_thumbnail)
    try:
        drawing.save(path, format="PNG")
    except OSError as error:
        raise InputError(f"cannot write the drawing to {str(path)!r}: {error.strerror}") from None
    return cost


def describe_picture(image: str, path: Path, cost: "PictureCost") -> tuple[str, dict[str, Any]]:
    """What a picture costs, for a person to read, and as plain data."""
    data = asdict(cost) | {"num_tiles": cost.num_tiles, "num_tokens": cost.num_tokens, "drawing": str(path)}
    return f"{image}: {cost.text()}\ndrawn to {path}", data


def stop_tokens(subject: Subject) -> list[dict[str, Any]]:
    """The tokens that end an answer; their ids where the folder has a tokenizer."""
    from ivl.processing import load_processor
    from ivl.processing.template import TEMPLATES

    end = TEMPLATES[subject.config.template].end
    if subject.folder is None:
        return [{"text": end, "id": None}]
    try:
        processor = load_processor(subject.folder)
    except TokenizerError:  # `ivl doctor` says what is wrong with it
        return [{"text": end, "id": None}]
    ids = sorted(processor.serving_stop_token_ids)
    return [{"text": processor.tokenizer.decode([token_id]), "id": token_id} for token_id in ids]


def _parts(config: "InternVLConfig", body: "Anatomy") -> list[str]:
    vision, text = config.vision, config.text
    rows = [
        (
            "vision model",
            body.vision_parameters,
            f"InternViT, {vision.num_layers} layers of width {vision.hidden_size}, {vision.num_heads} heads, "
            f"patches of {vision.patch_size} pixels",
        ),
        (
            "connector",
            body.connector_parameters,
            _connector_note(config),
        ),
        (
            "language model",
            body.language_parameters,
            f"{text.decoder}, {text.num_layers} layers of width {text.hidden_size}, {text.num_heads} heads, "
            f"{text.num_kv_heads} for keys and values",
        ),
        ("total", body.total_parameters, ""),
    ]
    return [f"{name:<15} {count:>15,}  {note}".rstrip() for name, count, note in rows]


def _connector_note(config: "InternVLConfig") -> str:
    wide, kind = config.vision.hidden_size * config.shuffle_factor**2, "MLP" if config.connector == "mlp" else "linear"
    if config.qformer is not None:
        sizes = config.qformer
        asks = f"{sizes.num_queries} queries ask {config.connector_rows} patches"
        return f"Q-Former, {asks}, {sizes.num_layers} layers of width {sizes.hidden_size} -> {config.text.hidden_size}"
    return f"{config.shuffle_factor**2} patches -> 1 token, {kind} {wide} -> {config.text.hidden_size}"


def _by_dtype(sizes: dict[str, int]) -> str:
    """Sizes with the dtypes that share them named together."""
    names: dict[int, list[str]] = {}
    for name, size in sizes.items():
        names.setdefault(size, []).append(name)
    return ", ".join(f"{_size(size)} in {' or '.join(which)}" for size, which in names.items())


def _size(num_bytes: int) -> str:
    return f"{num_bytes / GIB:.2f} GiB" if num_bytes >= GIB / 2 else f"{num_bytes / 2**20:.1f} MiB"


def _tiles(config: "InternVLConfig") -> str:
    tile = f"{config.image_size}x{config.image_size} pixels"
    if not config.dynamic_image_size:
        return f"one tile of {tile}"
    thumbnail = " and a thumbnail of the whole" if config.use_thumbnail else ""
    return f"{config.min_tiles} to {config.max_tiles} tiles of {tile}{thumbnail}"


def _stops(tokens: list[dict[str, Any]]) -> str:
    return ", ".join(each["text"] + (f" ({each['id']})" if each["id"] is not None else "") for each in tokens)
