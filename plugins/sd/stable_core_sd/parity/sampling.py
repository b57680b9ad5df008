"""Checks of samplers, noise schedules, seeds and noise. The reference cases are run by runner."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from stable_core_sd.names import Sampler, hires_sampler_and_scheduler, sampler_and_scheduler
from stable_core_sd.noise import ImageNoise, Variation, slerp
from stable_core_sd.params_sampling import ScheduleParams
from stable_core_sd.parity.runner import Check, close
from stable_core_sd.samplers import Churn, Sample, ddim, dpm, dpm_solver, dpmpp, euler, heun, lcm, multistep, sde
from stable_core_sd.samplers.core import ancestral_step
from stable_core_sd.sampling import between
from stable_core_sd.schedules import (
    SCHEDULES,
    SigmaTable,
    WholeTimesteps,
    exponential,
    karras,
    training_betas,
    variance_preserving,
)
from stable_core_sd.spacing import run_sigmas, spacing_facts
from stable_core_sd.steps import picture_steps
from stable_core_sd.timesteps import ddim_timesteps, falling_sigmas

Case = Mapping[str, Any]

TABLE = SigmaTable(training_betas("scaled_linear", 0.00085, 0.012, 1000))
FUNCTIONS: dict[str, Sample] = {
    "sample_euler": euler.sample_euler,
    "sample_euler_ancestral": euler.sample_euler_ancestral,
    "sample_heun": heun.sample_heun,
    "sample_dpm_2": dpm.sample_dpm_2,
    "sample_dpm_2_ancestral": dpm.sample_dpm_2_ancestral,
    "sample_dpm_fast": dpm_solver.sample_dpm_fast,
    "sample_dpm_adaptive": dpm_solver.sample_dpm_adaptive,
    "sample_lms": multistep.sample_lms,
    "sample_dpmpp_2s_ancestral": dpmpp.sample_dpmpp_2s_ancestral,
    "sample_dpmpp_2m": dpmpp.sample_dpmpp_2m,
    "sample_dpmpp_sde": sde.sample_dpmpp_sde,
    "sample_dpmpp_2m_sde": sde.sample_dpmpp_2m_sde,
    "sample_dpmpp_3m_sde": sde.sample_dpmpp_3m_sde,
    "sample_lcm": lcm.sample_lcm,
    "restart_sampler": heun.sample_restart,
    "ddim": ddim.sample_ddim,
    "ddim_cfgpp": ddim.sample_ddim_cfgpp,
    "plms": multistep.sample_plms,
}


class _Counted:
    """A denoiser and a noise source of the reference cases; both count their calls."""

    def __init__(self, denoise: Callable[[Any, float], Any], size: int) -> None:
        self.denoise, self.size, self.draws, self.sigmas = denoise, size, 0, list[float]()

    def __call__(self, x: Any, sigma: float) -> Any:
        self.sigmas.append(sigma)
        return self.denoise(x, sigma)

    def noise(self, *_: float) -> Any:
        drawn = np.sin(1.7 * self.draws + 0.9 * np.arange(self.size) + 0.3)
        self.draws += 1
        return drawn


def run_numeric(case: Case, header: Case) -> Any:
    """Run one sampler over the formulas of the file's header."""
    name, options = case["sampler"], dict(case["kwargs"])
    if "schedule" not in case:
        return _run_over_timesteps(name, case["steps"], options)
    schedule = {"karras": karras, "exponential": exponential}[case["schedule"]]
    sigmas = schedule(case["n"], TABLE, 0.03, 14.6)
    start = sigmas[0]
    if name in {"sample_dpm_fast", "sample_dpm_adaptive"}:
        sigmas = between(14.6, 0.03, case["n"])
    if name in {"sample_euler", "sample_heun", "sample_dpm_2"}:
        options = {"churn": Churn(**options)}
    function = FUNCTIONS[name]
    if options.pop("solver_type", "midpoint") == "heun":
        function = sde.sample_dpmpp_2m_sde_heun
    model = _Counted(lambda x, s: 0.9 * x / (1 + s**2) + 0.2 * s / (1 + s) * np.tanh(x) + 0.05, 6)
    *_, last = function(model, _start(6) * start, sigmas, model.noise, **options)
    return _outcome(last.x, model) | {"first_sigmas": model.sigmas[:6]}


def _run_over_timesteps(name: str, steps: int, options: dict[str, Any]) -> Any:
    sigmas = falling_sigmas(ddim_timesteps(steps), TABLE)

    def denoise(x: Any, sigma: float) -> Any:
        scaled = x / math.sqrt(sigma**2 + 1)
        time = TABLE.timestep(sigma) / 1000
        guess = x - sigma * (0.8 * scaled + 0.1 * np.sin(2 * scaled) * time + 0.03)
        return (guess, x - sigma * 0.5 * np.tanh(scaled)) if name == "ddim_cfgpp" else guess

    model = _Counted(denoise, 8)
    x = _start(8) * math.sqrt(sigmas[0] ** 2 + 1)
    *_, last = FUNCTIONS[name](model, x, sigmas, model.noise, **options)
    timesteps = [round(TABLE.timestep(sigma), 4) for sigma in model.sigmas[:5]]
    return _outcome(last.x, model) | {"first_timesteps": timesteps}


def _start(size: int) -> Any:
    return np.cos(0.8 * np.arange(size) + 0.1)


def _outcome(x: Any, model: _Counted) -> dict[str, Any]:
    return {"x": x.tolist(), "model_calls": len(model.sigmas), "noise_draws": model.draws}


def agrees_numerically(expected: Any, got: Any) -> bool:
    """Compare with the file's tolerance; of the first noise levels or timesteps, as many as there are."""
    cut = {
        key: value[: len(expected[key])] if key.startswith("first_") else value
        for key, value in got.items()
        if key in expected
    }
    return close(2e-4, 1e-4)(expected, cut)


def run_schedule(case: Case, header: Case) -> Any:
    """Run one function of noise levels."""
    function = case.get("function")
    if function is None:
        options = {"rho": case["rho"]} if case.get("rho") else {}
        if case["scheduler"] == "beta":
            options = {"alpha": case.get("beta_dist_alpha", 0.6), "beta": case.get("beta_dist_beta", 0.6)}
        if case.get("is_sdxl"):
            options["is_xl"] = True
        schedule = SCHEDULES[case["scheduler"]]
        return {"sigmas": schedule(case["n"], TABLE, case["sigma_min"], case["sigma_max"], **options)}
    return SIGMA_FUNCTIONS[function](case)


def run_sigmas_of_sampler(case: Case) -> Any:
    """Choose the noise levels of a run with the knobs of a case."""
    options, settings = case["sampler_options"], case["opts"]
    sampler = Sampler(
        "any",
        (),
        options.get("scheduler", "uniform"),
        discards_next_to_last_sigma=options.get("discard_next_to_last_sigma", False),
    )
    spacing = ScheduleParams(
        sigma_min=settings.get("sigma_min", 0),
        sigma_max=settings.get("sigma_max", 0),
        rho=settings.get("rho", 0),
        old_karras=settings.get("use_old_karras_scheduler_sigmas", False),
        discard_next_to_last=settings.get("always_discard_next_to_last_sigma", False),
    )
    scheduler = settings.get("k_sched_type", "automatic").lower()
    facts = {} if scheduler == "automatic" else {"Schedule type": scheduler}
    return {
        "sigmas": run_sigmas(sampler, scheduler, case["steps"], TABLE, spacing),
        "extra_generation_params": facts | spacing_facts(sampler, scheduler, TABLE, spacing),
    }


def run_ancestral_step(case: Case) -> Any:
    """Split one step."""
    down, up = ancestral_step(case["sigma_from"], case["sigma_to"], case["eta"])
    return {"sigma_down": down, "sigma_up": up}


SIGMA_FUNCTIONS: dict[str, Callable[[Case], Any]] = {
    "KDiffusionSampler.get_sigmas": run_sigmas_of_sampler,
    "get_ancestral_step": run_ancestral_step,
    "get_sigmas_vp": lambda case: {
        "sigmas": variance_preserving(case["n"], case["beta_d"], case["beta_min"], case["eps_s"])
    },
    "sigma_to_t": lambda case: {
        "t": TABLE.timestep(case["sigma"]),
        "t_quantized": WholeTimesteps(TABLE).timestep(case["sigma"]),
    },
    "t_to_sigma": lambda case: {"sigma": TABLE.sigma(case["t"])},
}


def agrees_on_schedule(expected: Any, got: Any) -> bool:
    """Compare with the file's tolerance; timesteps, the logarithm of what was rounded, with a wider one."""
    return close(1e-2 if "t" in expected else 2e-4, 2e-5)(expected, got)


def run_names(case: Case, header: Case) -> Any:
    """Find out which sampler and schedule are meant."""
    found = sampler_and_scheduler(case["sampler_name"], case["scheduler"], case["convert_automatic"])
    if found is None:
        raise LookupError(case["sampler_name"])
    return {"result": list(found)}


def names_declined(case: Case) -> str:
    """Explain what a name means here."""
    name = case["input"]["sampler_name"]
    if sampler_and_scheduler(name) is None:
        return "an unknown sampler is an error"
    return "the longest schedule name wins" if "suffix" in case["quirk"] else "names of samplers ignore case"


def run_hires_names(case: Case, header: Case) -> Any:
    """Find out which sampler and schedule the second pass has."""
    found = hires_sampler_and_scheduler(case["params"])
    if found is None:
        raise LookupError(case["params"])
    return {"result": list(found)}


def run_picture_steps(case: Case, header: Case) -> Any:
    """Count the steps of a run from a picture."""
    asked = case["steps_arg"]
    is_exact = case["img2img_fix_steps"] or asked is not None
    return {"steps_and_t_enc": list(picture_steps(asked or case["p_steps"], case["denoising_strength"], is_exact))}


def run_timesteps(case: Case, header: Case) -> Any:
    """List the timesteps of DDIM."""
    timesteps = ddim_timesteps(case["steps"])
    return {"count": len(timesteps), "first": timesteps[:6], "last": timesteps[-6:]}


def run_noise(case: Case, header: Case) -> Any:
    """Draw the noise of a run."""
    width, height = case["seed_resize_from_w"], case["seed_resize_from_h"]
    variation = Variation(
        case["subseeds"] or (),
        case["subseed_strength"] if case["subseeds"] is not None else 0.0,
        (width // 8, height // 8) if width > 0 and height > 0 else None,
    )
    noise = ImageNoise(
        tuple(case["shape"]), case["seeds"], "cpu", case["source"], variation, case["eta_noise_seed_delta"]
    )
    draws = [noise() for _ in range(case["draws"])]
    return {"draws": [{"shape": list(draw.shape), "data": draw.flatten().tolist()} for draw in draws]}


def run_slerp(case: Case, header: Case) -> Any:
    """Mix two tensors."""
    import torch

    low, high = (torch.tensor(case[name]).reshape(case["shape"]) for name in ("low", "high"))
    return {"result": slerp(case["val"], low, high).flatten().tolist()}


CHECKS: dict[str, Check] = {
    "samplers_numeric": Check(run_numeric, agrees_numerically),
    "sigma_schedules": Check(run_schedule, agrees_on_schedule),
    "samplers_and_steps:get_sampler_and_scheduler": Check(run_names, declined=names_declined),
    "samplers_and_steps:get_hr_sampler_and_scheduler": Check(run_hires_names),
    "samplers_and_steps:setup_img2img_steps": Check(run_picture_steps),
    "samplers_and_steps:ddim_timesteps": Check(run_timesteps),
    "seed_noise:image_rng": Check(run_noise, close(absolute=2e-5)),
    "seed_noise:slerp": Check(run_slerp, close(absolute=2e-5)),
}
