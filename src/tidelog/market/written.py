"""Events as plain values for people to read: JSON without exponents, even where the exchange writes them."""

from decimal import Decimal

from msgspec import UNSET, Raw, Struct

from tidelog.market.book.levels import plain_number


def written(value: object) -> object:
    """An event, or a part of one, as what a JSON encoder writes plainly: 5.12E-7 is 0.000000512."""
    match value:
        case Decimal():
            return f"{value:f}"
        case Raw():
            return Raw(plain_number(bytes(value).decode()).encode())
        case Struct():
            config = value.__struct_config__
            named = {name: getattr(value, name) for name in value.__struct_fields__}
            fields = {name: written(field) for name, field in named.items() if field is not UNSET}
            if config.array_like:
                return list(fields.values())
            return fields if config.tag is None else {config.tag_field or "type": config.tag, **fields}
        case tuple() | list():
            return [written(each) for each in value]
    return value
