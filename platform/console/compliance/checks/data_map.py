"""A check that compares the running models with the data map of personal data."""

from typing import Any

from console.compliance import personal
from console.compliance.check import Check, Outcome, Problem, Reach
from console.compliance.personal import Data
from console.compliance.texts import Text
from tenants.models import Tenant


def _data_map(_tenant: Tenant | None) -> Outcome:
    fields, gaps = personal.by_class(), personal.gaps()
    figures: dict[str, Any] = {
        "models": len(personal.MAP),
        "fields": sum(map(len, fields.values())),
        "personal_fields": sum(len(names) for data, names in fields.items() if data != Data.NONE),
        "gaps": len(gaps),
        "table": {data: names for data, names in fields.items() if data != Data.NONE},
    }
    return Outcome("gaps", {**figures, "found": gaps[:20]}) if gaps else Outcome("", figures)


CHECKS = (
    Check(
        "data_map",
        Text("Data map: personal data by field", "数据地图：各字段的个人信息"),
        Text(
            "Goes through every field of every table that this installation has, and looks up its "
            "class. The table is the record of processing.",
            "逐一核对本安装所有表的每个字段及其分类；该表即处理活动记录。",
        ),
        _data_map,
        {
            "gaps": Problem(
                Text("A field has no class yet.", "有字段尚未分类。"),
                Text(
                    "Say in console/compliance/personal.py what of a person stands in it.",
                    "请在 console/compliance/personal.py 中注明其包含的个人信息。",
                ),
            )
        },
        Reach.GENERAL,
    ),
)
