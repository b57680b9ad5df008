"""The samplers: one pure function each, from noise to a clean latent, over `denoise(x, sigma)`. They know no torch.

Every sampler is a generator. It yields a `Step` after each step; the last one holds the result. `x` is any array with
arithmetic (a tensor, a numpy array) and holds noise of strength `sigmas[0]` at the start. Sigmas are plain numbers that
fall, usually to 0. `noise()` returns a fresh draw shaped like `x`; draws happen in the order that A1111 makes them, so
the same seed gives the same picture.
"""

from __future__ import annotations

from stable_core_sd.samplers.core import Array, Churn, Denoise, Noise, Sample, Step
from stable_core_sd.samplers.ddim import sample_ddim, sample_ddim_cfgpp
from stable_core_sd.samplers.dpm import sample_dpm_2, sample_dpm_2_ancestral
from stable_core_sd.samplers.dpm_solver import sample_dpm_adaptive, sample_dpm_fast
from stable_core_sd.samplers.dpmpp import sample_dpmpp_2m, sample_dpmpp_2s_ancestral
from stable_core_sd.samplers.euler import sample_euler, sample_euler_ancestral
from stable_core_sd.samplers.heun import sample_heun, sample_restart
from stable_core_sd.samplers.lcm import sample_lcm
from stable_core_sd.samplers.multistep import sample_lms, sample_plms
from stable_core_sd.samplers.sde import (
    sample_dpmpp_2m_sde,
    sample_dpmpp_2m_sde_heun,
    sample_dpmpp_3m_sde,
    sample_dpmpp_sde,
)
from stable_core_sd.samplers.unipc import sample_unipc

__all__ = ["SAMPLES", "Array", "Churn", "Denoise", "Noise", "Sample", "Step"]

SAMPLES: dict[str, Sample] = {
    "DPM++ 2M": sample_dpmpp_2m,
    "DPM++ SDE": sample_dpmpp_sde,
    "DPM++ 2M SDE": sample_dpmpp_2m_sde,
    "DPM++ 2M SDE Heun": sample_dpmpp_2m_sde_heun,
    "DPM++ 2S a": sample_dpmpp_2s_ancestral,
    "DPM++ 3M SDE": sample_dpmpp_3m_sde,
    "Euler a": sample_euler_ancestral,
    "Euler": sample_euler,
    "LMS": sample_lms,
    "Heun": sample_heun,
    "DPM2": sample_dpm_2,
    "DPM2 a": sample_dpm_2_ancestral,
    "DPM fast": sample_dpm_fast,
    "DPM adaptive": sample_dpm_adaptive,
    "Restart": sample_restart,
    "DDIM": sample_ddim,
    "DDIM CFG++": sample_ddim_cfgpp,
    "PLMS": sample_plms,
    "UniPC": sample_unipc,
    "LCM": sample_lcm,
}
"""The function of each sampler by its label."""
