"""Published accuracy of the registered backbones, according to their authors or timm's result tables."""

from __future__ import annotations

from typing import Final

IMAGENET: Final = {
    "emo2_1m": "72.3 (224)", "emo2_2m": "75.8 (224)", "emo2_5m": "79.4 (224)",
    "ese_vovnet19b_dw": "76.83 (224)", "ese_vovnet39b": "79.31 (224)", "ese_vovnet57b": "82.46 (256)",
    "vovnet39a": "76.77 (224)", "vovnet57a": "77.73 (224)",
    "resnetrs50": "79.93 (224)", "resnetrs101": "82.29 (288)", "resnetrs152": "83.71 (320)",
    "resnetrs200": "84.45 (320)", "resnetrs270": "84.44 (352)", "resnetrs350": "84.71 (384)",
    "resnetrs420": "85.01 (416)",
}  # fmt: skip
"""Top-1 in percent, with the side of the images that it was measured at."""

CITYSCAPES: Final = {
    "ffnet150_aaa": 84.4, "ffnet86_aaa": 83.2, "ffnet34_aaa": 81.4, "ffnet150s_bbb": 84.1, "ffnet86s_bbb": 82.6,
    "ffnet122n_cbb": 83.7, "ffnet74n_cbb": 83.0, "ffnet46n_cbb": 81.9, "ffnet150_daaa": 82.3, "ffnet86s_dbbb": 81.1,
    "ffnet34_daac": 79.1, "ffnet18_daac": 76.4, "ffnet86s_dbbb_mobile": 81.5, "ffnet78s_dbbb_mobile": 81.3,
    "ffnet54s_dbbb_mobile": 80.8, "ffnet40s_dbbb_mobile": 79.2, "ffnet150s_bbb_mobile": 81.6,
    "ffnet86s_bbb_mobile": 80.9, "ffnet78s_bbb_mobile": 80.5, "ffnet54s_bbb_mobile": 80.2,
    "ffnet40s_bbb_mobile": 79.7, "ffnet150s_bcc_mobile": 81.0, "ffnet86s_bcc_mobile": 81.0,
    "ffnet78s_bcc_mobile": 80.6, "ffnet54s_bcc_mobile": 79.9, "ffnet40s_bcc_mobile": 78.4,
    "ffnet122ns_cbb_mobile": 79.3, "ffnet74ns_cbb_mobile": 78.3, "ffnet46ns_cbb_mobile": 77.5,
    "ffnet122ns_ccc_mobile": 79.2, "ffnet74ns_ccc_mobile": 77.8, "ffnet46ns_ccc_mobile": 76.7,
}  # fmt: skip
"""Mean IoU on Cityscapes in percent; for the small mobile nets (BBB, BCC, CBB, CCC) at 512x1024, else 1024x2048."""


def accuracy(net: str) -> str:
    """Published accuracy of a backbone, such as "79.4 (224) ImageNet", or "none"."""
    if net in IMAGENET:
        return f"{IMAGENET[net]} ImageNet"
    return f"{CITYSCAPES[net]} Cityscapes" if net in CITYSCAPES else "none"
