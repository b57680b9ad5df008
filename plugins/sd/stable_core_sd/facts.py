"""What the generation data says of noise, schedule and guidance, in A1111's words. It writes no text."""

from __future__ import annotations

from typing import Any

from stable_core_sd.names import find_sampler, find_scheduler
from stable_core_sd.params import RunParams
from stable_core_sd.params_sampling import UniPCParams
from stable_core_sd.schedules import SigmaTable
from stable_core_sd.spacing import spacing_facts


def sampling_facts(params: RunParams, table: SigmaTable) -> dict[str, Any]:
    """Return the pairs about one pass that are not as usual; knobs that its sampler does not have are left out.

    The original writes some only if they are settings, not if they are asked for; here all are written.
    """
    sampler, scheduler = find_sampler(params.sampler), find_scheduler(params.scheduler)
    assert sampler is not None, params.sampler
    assert scheduler is not None, params.scheduler
    noise, guidance, facts = params.noise, params.guidance, dict[str, Any]()
    eta = sampler.default_eta if noise.eta is None else noise.eta
    if "eta" in sampler.takes and eta != sampler.default_eta:
        facts["Eta DDIM" if sampler.walks_timesteps else "Eta"] = eta
    for name, usual in {"s_churn": 0, "s_tmin": 0, "s_tmax": 0, "s_noise": 1}.items():
        value = getattr(noise, name)
        if name in sampler.takes and value != usual:
            facts[f"Sigma {name[2:]}"] = value
    if sampler.label == "UniPC":
        facts |= _unipc_facts(params.unipc)
    elif not sampler.walks_timesteps:
        facts |= spacing_facts(sampler, scheduler.name, table, params.schedule)
        facts |= {"SGM noise multiplier": True} if params.schedule.sgm_noise else {}
    if guidance.skip_below_sigma:
        facts["NGMS"] = guidance.skip_below_sigma
    if guidance.skip_early:
        facts["Skip Early CFG"] = guidance.skip_early
    return facts


def _unipc_facts(unipc: UniPCParams) -> dict[str, Any]:
    usual = UniPCParams()
    names = {
        "variant": "UniPC variant",
        "spacing": "UniPC skip type",
        "order": "UniPC order",
        "lower_order_final": "UniPC lower order final",
    }
    return {
        words: getattr(unipc, name) for name, words in names.items() if getattr(unipc, name) != getattr(usual, name)
    }
