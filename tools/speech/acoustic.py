"""The English acoustic model that ships in the wheel of PocketSphinx: how real speakers' spectra are distributed.

Only its 42 context-independent phones are read. Every phone has three states, and three groups of 13 features: shapes
of spectra, their first and their second differences (``models.speech.slopes``). In every group a state is a mixture of
the phone's 128 normal distributions. File formats: ``s3file.c``, ``ms_gauden.c``, ``ptm_mgau.c`` and ``bin_mdef.c`` of
PocketSphinx 5 (BSD).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.speech import CEPSTRA, VISEMES
from tools.speech.phones import of_arpabet

Floats = npt.NDArray[np.float32]
PHONES, STATES, GROUPS, NORMALS = 42, 3, 3, 128
_LEAST_VARIANCE = 1e-3
_LOG_UNIT = 1024 * np.log(1.0001)  # of the stored weights


def _body(path: Path) -> bytes:
    """Content after the text header and the byte-order mark."""
    data = path.read_bytes()
    return data[data.index(b"endhdr\n") + 7 + 4 :]


@dataclass(frozen=True)
class AcousticModel:
    """Mixtures of the phones' states.

    Attributes:
        names: (42,) phones.
        means: (42, 3, 128, 13) of the normal distributions, by phone and group.
        variances: Likewise.
        weights: (42, 3, 3, 128) by phone, state and group.
    """

    names: list[str]
    means: Floats
    variances: Floats
    weights: Floats

    @staticmethod
    def read(folder: Path) -> AcousticModel:
        """Read the folder with ``means``, ``variances``, ``sendump`` and ``mdef``."""
        shape = PHONES, GROUPS, NORMALS, CEPSTRA
        count = int(np.prod(shape))
        means, variances = (
            np.frombuffer(_body(folder / name)[28:], "<f4", count).reshape(shape) for name in ("means", "variances")
        )
        data = (folder / "mdef").read_bytes()
        place = 12 + struct.unpack("<i", data[8:12])[0]
        phones, _, _, _, states = struct.unpack("<5i", data[place : place + 20])
        names = [name.decode() for name in data[place + 40 :].split(b"\0", phones)[:phones]]
        stored = np.frombuffer((folder / "sendump").read_bytes()[-GROUPS * NORMALS * states :], np.uint8)
        stored = stored.reshape(GROUPS, NORMALS, states)[:, :, : PHONES * STATES]
        weights = np.exp(-_LOG_UNIT * stored.astype(np.float32)).reshape(GROUPS, NORMALS, PHONES, STATES)
        weights = np.transpose(weights / weights.sum(1, keepdims=True), (2, 3, 0, 1))
        return AcousticModel(names, means, np.maximum(variances, _LEAST_VARIANCE), weights.astype(np.float32))

    def visemes(self) -> Floats:
        """(126, 14) share of every state in every viseme; columns add up to 1. Noises count as silence."""
        out = np.zeros((PHONES, STATES, len(VISEMES)), np.float32)
        for phone, name in enumerate(self.names):
            told = [0] if name.startswith("+") else of_arpabet(name)
            for state in range(STATES):  # diphthongs change in the middle state
                out[phone, state, told[0 if state == 0 else -1]] += 0.5
                out[phone, state, told[0 if state < 2 else -1]] += 0.5
        out = out.reshape(-1, len(VISEMES))
        return np.asarray(out / out.sum(0), np.float32)

    def sample(self, random: np.random.Generator, count: int) -> Floats:
        """(count, 39) features of states chosen at random; the groups are independent, as the model assumes."""
        state = random.integers(0, PHONES * STATES, count)
        out = np.empty((count, GROUPS * CEPSTRA), np.float32)
        for group in range(GROUPS):
            edges = np.cumsum(self.weights.reshape(-1, GROUPS, NORMALS)[:, group], 1)
            chosen = (random.random((count, 1)) > edges[state]).sum(1).clip(0, NORMALS - 1)
            mean = self.means[state // STATES, group, chosen]
            spread = np.sqrt(self.variances[state // STATES, group, chosen])
            out[:, group * CEPSTRA : (group + 1) * CEPSTRA] = mean + spread * random.standard_normal(mean.shape)
        return out

    def scores(self, features: Floats) -> Floats:
        """(n, 14) logarithms of how likely features (n, 39) are under each viseme, up to a constant of each row."""
        out = np.zeros((len(features), PHONES, STATES), np.float32)
        for group in range(GROUPS):
            own = features[:, group * CEPSTRA : (group + 1) * CEPSTRA]
            mean, narrow = self.means[:, group].reshape(-1, CEPSTRA), 1 / self.variances[:, group].reshape(-1, CEPSTRA)
            # the square of the distance is written out, so that two products of matrices do it
            powers = -0.5 * (own * own) @ narrow.T + own @ (mean * narrow).T
            powers += 0.5 * (np.log(narrow) - mean * mean * narrow).sum(1)
            powers = powers.reshape(-1, PHONES, NORMALS)
            highest = powers.max(2, keepdims=True)
            likely = np.exp(powers - highest).transpose(1, 0, 2) @ self.weights[:, :, group].transpose(0, 2, 1)
            out += np.log(likely.transpose(1, 0, 2) + 1e-30) + highest
        flat = out.reshape(len(out), -1)
        return np.asarray(np.log(np.exp(flat - flat.max(1, keepdims=True)) @ self.visemes() + 1e-12), np.float32)
