"""Sampling loops written once more, plainly, in 32-bit tensors: what whole runs are compared with. For tests only.

They follow the papers and stand on nothing of the plugin but the model, its text embeddings and the Brownian paths,
which have tests of their own. Where the plugin works in one scale of latents, they work in that of the paper: DDIM and
its kin on latents of variance one with `alpha`, the solvers in `lambda = -ln(sigma)`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stable_core_sd.brownian import BrownianNoise

Model = Callable[[Tensor, Tensor], Tensor]
Draw = Callable[[], Tensor]


@dataclass
class Latents:
    """What a loop needs: the model as noise prediction, the training schedule, and the noise of each picture.

    Attributes:
        times: where the steps of DPM adaptive end in the run that is compared, the last excepted. The difference of two
            orders that its next step hangs on is so small beside the latents that 32 bits leave it four digits, and
            these add up over the steps; so a step of the same length but for them ends where that of the run does.
    """

    unet: Any
    negative: Tensor
    prompt: Tensor
    cfg_scale: float
    seeds: Sequence[int]
    shape: tuple[int, int, int]
    times: Sequence[float] = ()
    alphas: Tensor = field(init=False)
    sigmas: Tensor = field(init=False)

    def __post_init__(self) -> None:
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
        self.alphas = torch.cumprod(1 - betas, 0).float()
        self.sigmas = ((1 - self.alphas) / self.alphas) ** 0.5
        self.generators = [torch.Generator().manual_seed(seed) for seed in self.seeds]

    def draw(self) -> Tensor:
        """Return the next noise of every picture."""
        return torch.stack([torch.randn(self.shape, generator=one) for one in self.generators])

    def predict(self, x: Tensor, timestep: float | Tensor, scale: float | None = None) -> tuple[Tensor, Tensor]:
        """Return the guided and the unguided noise in latents of variance one."""
        count = len(x)
        texts = torch.cat([self.negative.expand(count, -1, -1), self.prompt.expand(count, -1, -1)])
        time = torch.as_tensor(timestep, dtype=torch.float32)
        negative, prompted = self.unet(torch.cat([x, x]), time, encoder_hidden_states=texts, return_dict=False)[
            0
        ].chunk(2)
        return negative + (self.cfg_scale if scale is None else scale) * (prompted - negative), negative

    def timestep(self, sigma: Tensor) -> Tensor:
        """Interpolate ln(sigma) over the timesteps."""
        logs = self.sigmas.log()
        low = int((logs <= sigma.log()).sum().clamp(1, 999)) - 1
        return low + ((sigma.log() - logs[low]) / (logs[low + 1] - logs[low])).clamp(0, 1)

    def sigma(self, timestep: Tensor) -> Tensor:
        """Interpolate ln(sigma) the other way."""
        low, logs = timestep.floor().long().clamp(0, 998), self.sigmas.log()
        return ((1 - (timestep - low)) * logs[low] + (timestep - low) * logs[low + 1]).exp()

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the clean latents in `x`, which has noise of strength sigma."""
        return x - sigma * self.predict(x / (sigma**2 + 1) ** 0.5, self.timestep(sigma))[0]

    def brownian(self, sigmas: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the noise between two levels."""

        def first(seed: int) -> Tensor:
            return torch.randn(self.shape, generator=torch.Generator().manual_seed(seed))

        noise = BrownianNoise(float(sigmas[sigmas > 0].min()), float(sigmas.max()), self.seeds, first)
        return lambda sigma, following: noise(float(sigma), float(following))


SAME_LENGTH = 1e-3
"""Two steps are the same whose lengths differ by less than this share."""


def zero(levels: Tensor) -> Tensor:
    """Append a 0."""
    return torch.cat([levels, levels.new_zeros(1)])


def uniform(latents: Latents, steps: int) -> Tensor:
    """Return levels at evenly spaced timesteps."""
    return zero(latents.sigma(torch.linspace(999, 0, steps)))


def karras(latents: Latents, steps: int, low: float | None = None, high: float | None = None) -> Tensor:
    """Return the levels of Karras et al. 2022."""
    low, high = low or float(latents.sigmas[0]), high or float(latents.sigmas[-1])
    return zero((high ** (1 / 7) + torch.linspace(0, 1, steps) * (low ** (1 / 7) - high ** (1 / 7))) ** 7)


def exponential(latents: Latents, steps: int) -> Tensor:
    """Return levels evenly spaced in ln(sigma)."""
    return zero(torch.linspace(math.log(latents.sigmas[-1]), math.log(latents.sigmas[0]), steps).exp())


def without_next_to_last(schedule: Callable[[Latents, int], Tensor]) -> Callable[[Latents, int], Tensor]:
    """Return a schedule that is made one step longer and loses its last level above 0."""

    def shortened(latents: Latents, steps: int) -> Tensor:
        levels = schedule(latents, steps + 1)
        return torch.cat([levels[:-2], levels[-1:]])

    return shortened


def ancestral(sigma: Tensor, following: Tensor) -> tuple[Tensor, Tensor]:
    """Split a step into the level to denoise to and the noise to add."""
    up = torch.minimum(following, (following**2 * (sigma**2 - following**2) / sigma**2) ** 0.5)
    return (following**2 - up**2) ** 0.5, up


def euler(latents: Latents, x: Tensor, sigmas: Tensor) -> Tensor:
    """Follow the flow; noise is drawn for each step and not used."""
    for sigma, following in itertools.pairwise(sigmas):
        latents.draw()
        x = x + (following - sigma) * (x - latents.denoise(x, sigma)) / sigma
    return x


def euler_ancestral(latents: Latents, x: Tensor, sigmas: Tensor) -> Tensor:
    """Go lower and add noise."""
    for sigma, following in itertools.pairwise(sigmas):
        down, up = ancestral(sigma, following)
        x = x + (down - sigma) * (x - latents.denoise(x, sigma)) / sigma
        x = x + up * latents.draw() if following > 0 else x
    return x


def heun_step(latents: Latents, x: Tensor, sigma: Tensor, following: Tensor) -> Tensor:
    """Average the slopes at both ends."""
    slope = (x - latents.denoise(x, sigma)) / sigma
    trial = x + (following - sigma) * slope
    if following == 0:
        return trial
    return x + (following - sigma) * (slope + (trial - latents.denoise(trial, following)) / following) / 2


def heun(latents: Latents, x: Tensor, sigmas: Tensor) -> Tensor:
    """Do Heun's steps."""
    for sigma, following in itertools.pairwise(sigmas):
        latents.draw()
        x = heun_step(latents, x, sigma, following)
    return x


def restart(latents: Latents, x: Tensor, sigmas: Tensor) -> Tensor:
    """Do Heun's steps, one stretch twice or more often."""
    steps, stretch = len(sigmas) - 1, torch.zeros(0)
    times, count = (0, 0) if steps < 20 else (1, 9) if steps < 36 else (2, steps // 4)
    if times:
        sigmas = karras(latents, steps - times * count, float(sigmas[-2]), float(sigmas[0]))
        low, high = (int((sigmas - level).abs().argmin()) for level in (0.1, 2.0))
        stretch = karras(latents, count + 1, float(sigmas[low]), float(sigmas[high]))[:-1]
    for index in range(len(sigmas) - 1):
        x = heun_step(latents, x, sigmas[index], sigmas[index + 1])
        if times and index + 1 == low:
            for _ in range(times):
                x = x + latents.draw() * (stretch[0] ** 2 - sigmas[low] ** 2) ** 0.5
                for one, other in itertools.pairwise(stretch):
                    x = heun_step(latents, x, one, other)
    return x


def dpm_2(latents: Latents, x: Tensor, sigmas: Tensor, is_ancestral: bool = False) -> Tensor:
    """Take the slope at the geometric mean of both levels."""
    for sigma, following in itertools.pairwise(sigmas):
        down, up = ancestral(sigma, following) if is_ancestral else (following, torch.zeros(()))
        if not is_ancestral:
            latents.draw()
        slope = (x - latents.denoise(x, sigma)) / sigma
        if down > 0:
            middle = sigma.log().lerp(down.log(), 0.5).exp()
            trial = x + (middle - sigma) * slope
            slope = (trial - latents.denoise(trial, middle)) / middle
        x = x + (down - sigma) * slope
        if is_ancestral and down > 0:
            x = x + up * latents.draw()
    return x


def lms(latents: Latents, x: Tensor, sigmas: Tensor) -> Tensor:
    """Integrate the polynomial through the last four slopes."""
    levels, slopes = sigmas.double().numpy(), list[Tensor]()
    for index in range(len(levels) - 1):
        slopes.append((x - latents.denoise(x, sigmas[index])) / sigmas[index])
        last = range(max(index - 3, 0), index + 1)
        for one in last:
            basis = np.poly1d([1.0])
            for other in last:
                if other != one:
                    basis *= np.poly1d([1.0, -levels[other]]) / (levels[one] - levels[other])
            whole = basis.integ()
            x = x + float(whole(levels[index + 1]) - whole(levels[index])) * slopes[one]
    return x


def solver_step(latents: Latents, x: Tensor, start: Tensor, end: Tensor, order: int, ways: Sequence[float]) -> Tensor:
    """Do one step of DPM-Solver of an order up to 3, between two values of lambda."""

    def slope(x: Tensor, time: Tensor) -> Tensor:
        return (x - latents.denoise(x, (-time).exp())) / (-time).exp()

    step = end - start
    first = slope(x, start)
    whole = x - (-end).exp() * torch.expm1(step) * first
    if order == 1:
        return whole
    middle = start + ways[0] * step
    second = slope(x - (-middle).exp() * torch.expm1(ways[0] * step) * first, middle)
    if order == 2:
        return whole - (-end).exp() / (2 * ways[0]) * torch.expm1(step) * (second - first)
    later = start + ways[1] * step
    bend = torch.expm1(ways[1] * step) / (ways[1] * step) - 1
    trial = x - (-later).exp() * torch.expm1(ways[1] * step) * first
    third = slope(trial - (-later).exp() * ways[1] / ways[0] * bend * (second - first), later)
    return whole - (-end).exp() / ways[1] * (torch.expm1(step) / step - 1) * (third - first)


def solver_target(start: Tensor, following: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Return where to denoise to and the noise to add, in lambda."""
    down, _ = ancestral((-start).exp(), (-following).exp())
    target = torch.minimum(end, -down.log())
    return target, ((-2 * following).exp() - (-2 * target).exp()).clamp(min=0) ** 0.5


def dpm_fast(latents: Latents, x: Tensor, sigmas: Tensor) -> Tensor:
    """Do steps of third order and lower ones at the end."""
    steps, start, end = len(sigmas) - 1, -latents.sigmas[-1].log(), -latents.sigmas[0].log()
    orders = [3] * (steps // 3 - 1) + [2, 1] if steps % 3 == 0 else [3] * (steps // 3) + [steps % 3]
    times = torch.linspace(float(start), float(end), len(orders) + 1)
    for order, time, following in zip(orders, times[:-1], times[1:], strict=True):
        target, up = solver_target(time, following, end)
        x = solver_step(latents, x, time, target, order, (1 / 2,) if order == 2 else (1 / 3, 2 / 3))
        x = x + up * latents.draw()
    return x


def dpm_adaptive(latents: Latents, x: Tensor, sigmas: Tensor) -> Tensor:
    """Choose the length of each step by how far orders 2 and 3 are apart."""
    time, end = -latents.sigmas[-1].log(), -latents.sigmas[0].log()
    length, former, times = 0.05, x, list(latents.times)
    while time < end - 1e-5:
        following = torch.minimum(end, time + length)
        if times and abs(times[0] - float(following)) < SAME_LENGTH * float(following - time):
            following = torch.tensor(times.pop(0))
            length = float(following - time)
        target, up = solver_target(time, following, end)
        low = solver_step(latents, x, time, target, 2, (1 / 3,))
        high = solver_step(latents, x, time, target, 3, (1 / 3, 2 / 3))
        allowed = torch.maximum(torch.tensor(0.0078), 0.05 * torch.maximum(low.abs(), former.abs()))
        error = float(((low - high) / allowed).square().mean().sqrt())
        factor = 1 + math.atan((1 / (error + 1e-8)) ** (1 / 1.5) - 1)
        if factor >= 0.81:
            former, x, time = low, high + up * latents.draw(), following
        length *= factor
    return x


def ends_of_steps(levels: Sequence[float]) -> list[float]:
    """Return where the steps of a run of DPM adaptive end, the last excepted: `Latents.times`.

    Args:
        levels: at which it asked the model, three times for each step it tried.
    """
    return [-math.log(level) for level, _ in itertools.groupby(levels[::3])][1:]


def dpmpp_2s_ancestral(latents: Latents, x: Tensor, sigmas: Tensor) -> Tensor:
    """Do single steps of DPM-Solver++(2S) below the next level and add noise."""
    for sigma, following in itertools.pairwise(sigmas):
        down, up = ancestral(sigma, following)
        guess = latents.denoise(x, sigma)
        if down > 0:
            step = (sigma / down).log()
            middle = (sigma.log() - step / 2).exp()
            guess = latents.denoise((-step / 2).exp() * x - torch.expm1(-step / 2) * guess, middle)
            x = (-step).exp() * x - torch.expm1(-step) * guess + up * latents.draw()
        else:
            x = guess
    return x


def dpmpp_2m(latents: Latents, x: Tensor, sigmas: Tensor) -> Tensor:
    """Do multistep DPM-Solver++(2M) steps."""
    former, last_step = None, torch.zeros(())
    for sigma, following in itertools.pairwise(sigmas):
        guess = latents.denoise(x, sigma)
        if following == 0:
            return guess
        step = (sigma / following).log()
        ratio = last_step / step
        used = guess if former is None else (1 + 1 / (2 * ratio)) * guess - 1 / (2 * ratio) * former
        x = (following / sigma) * x - torch.expm1(-step) * used
        former, last_step = guess, step
    return x


def dpmpp_sde(latents: Latents, x: Tensor, sigmas: Tensor) -> Tensor:
    """Do single steps of the stochastic process.

    The level in the middle is one of 64 bits: Brownian paths round it to six digits, so that its last bits count.
    """
    noise = latents.brownian(sigmas)
    for sigma, following in itertools.pairwise(sigmas):
        guess = latents.denoise(x, sigma)
        if following == 0:
            return guess
        middle = (sigma.double() * following.double()) ** 0.5
        down, up = ancestral(sigma, middle)
        trial = down / sigma * x + (1 - down / sigma) * guess + up * noise(sigma, middle)
        second = latents.denoise(trial, middle)
        down, up = ancestral(sigma, following)
        x = down / sigma * x + (1 - down / sigma) * second + up * noise(sigma, following)
    return x


def dpmpp_2m_sde(latents: Latents, x: Tensor, sigmas: Tensor, is_heun: bool = False) -> Tensor:
    """Do multistep steps of second order of the stochastic process."""
    noise, former, last_step = latents.brownian(sigmas), None, torch.zeros(())
    for sigma, following in itertools.pairwise(sigmas):
        guess = latents.denoise(x, sigma)
        if following == 0:
            return guess
        step = (sigma / following).log()
        x = following / sigma * (-step).exp() * x + (1 - (-2 * step).exp()) * guess
        if former is not None:
            share = 1 - (1 - (-2 * step).exp()) / (2 * step) if is_heun else 0.5 * (1 - (-2 * step).exp())
            x = x + share * step / last_step * (guess - former)
        x = x + noise(sigma, following) * following * (1 - (-2 * step).exp()) ** 0.5
        former, last_step = guess, step
    return x


def dpmpp_3m_sde(latents: Latents, x: Tensor, sigmas: Tensor) -> Tensor:
    """Do multistep steps of third order of the stochastic process."""
    noise, guesses, steps = latents.brownian(sigmas), list[Tensor](), list[Tensor]()
    for sigma, following in itertools.pairwise(sigmas):
        guess = latents.denoise(x, sigma)
        if following == 0:
            return guess
        step = (sigma / following).log()
        x = (-2 * step).exp() * x + (1 - (-2 * step).exp()) * guess
        second = torch.expm1(-2 * step) / (2 * step) + 1
        if len(guesses) == 1:
            x = x + second * (guess - guesses[-1]) * step / steps[-1]
        elif guesses:
            near, far = steps[-1] / step, steps[-2] / step
            one, other = (guess - guesses[-1]) / near, (guesses[-1] - guesses[-2]) / far
            slope = one + (one - other) * near / (near + far)
            x = x + second * slope - (second / (2 * step) - 0.5) * (one - other) / (near + far)
        x = x + noise(sigma, following) * following * (1 - (-2 * step).exp()) ** 0.5
        guesses, steps = [*guesses, guess], [*steps, step]
    return x


def lcm(latents: Latents, x: Tensor, sigmas: Tensor) -> Tensor:
    """Put noise on the boundary-scaled guess of a consistency model again and again, at 50 timesteps."""
    known = torch.arange(19, 1000, 20)
    ways = torch.linspace(49, 0, len(sigmas) - 1)
    low, logs = ways.floor().long().clamp(0, 48), latents.sigmas[known].log()
    levels = zero((logs[low] + (ways - low) * (logs[low + 1] - logs[low])).exp())
    for sigma, following in itertools.pairwise(levels):
        time = known[(logs - sigma.log()).abs().argmin()]
        guess = x - sigma * latents.predict(x / (sigma**2 + 1) ** 0.5, time)[0]
        scaled = time * 10.0
        x = guess * scaled / (scaled**2 + 0.25) ** 0.5 + x * 0.25 / (scaled**2 + 0.25)
        x = x + following * latents.draw() if following > 0 else x
    return x


def ddim_timesteps(steps: int) -> list[int]:
    """Return every n-th timestep, plus one."""
    return [min(time + 1, 999) for time in range(0, 1000, 1000 // steps)]


def ddim(latents: Latents, x: Tensor, steps: int, cfgpp: bool = False) -> Tensor:
    """Do DDIM steps on latents of variance one."""
    times = ddim_timesteps(steps)
    for time, following in zip(times[:0:-1], times[-2::-1], strict=True):
        noise, unguided = latents.predict(x, float(time), latents.cfg_scale / 12.5 if cfgpp else None)
        alpha, next_alpha = latents.alphas[time], latents.alphas[following]
        guess = (x - (1 - alpha) ** 0.5 * noise) / alpha**0.5
        x = next_alpha**0.5 * guess + (1 - next_alpha) ** 0.5 * (unguided if cfgpp else noise)
    return x


def plms(latents: Latents, x: Tensor, steps: int) -> Tensor:
    """Do DDIM steps with noise extrapolated from former steps."""
    times, former = ddim_timesteps(steps), list[Tensor]()

    def transfer(noise: Tensor, time: int, following: int) -> Tensor:
        alpha, next_alpha = latents.alphas[time], latents.alphas[following]
        guess = (x - (1 - alpha) ** 0.5 * noise) / alpha**0.5
        return next_alpha**0.5 * guess + (1 - next_alpha) ** 0.5 * noise

    for time, following in zip(times[:0:-1], times[-2::-1], strict=True):
        noise, _ = latents.predict(x, float(time))
        former = [noise, *former][:4]
        if len(former) == 1:
            ahead, _ = latents.predict(transfer(noise, time, following), float(following))
            used = (noise + ahead) / 2
        elif len(former) == 2:
            used = (3 * former[0] - former[1]) / 2
        elif len(former) == 3:
            used = (23 * former[0] - 16 * former[1] + 5 * former[2]) / 12
        else:
            used = (55 * former[0] - 59 * former[1] + 37 * former[2] - 9 * former[3]) / 24
        x = transfer(used, time, following)
    return x


def unipc(latents: Latents, x: Tensor, steps: int) -> Tensor:
    """Predict and correct with B(h) = h, order 3, over evenly spaced times, on latents of variance one."""
    count = len(ddim_timesteps(steps))
    places = torch.linspace(1, 0.001, count + 1).double() * 1000 - 1
    log_alpha = torch.from_numpy(np.interp(places, np.arange(1000), latents.alphas.double().log().numpy() / 2))
    alpha, sigma = log_alpha.exp(), (1 - (2 * log_alpha).exp()) ** 0.5
    lambdas = log_alpha - sigma.log()

    def guess(x: Tensor, index: int) -> Tensor:
        noise, _ = latents.predict(x, places[index].float())
        return (x - float(sigma[index]) * noise) / float(alpha[index])

    guesses = [guess(x, 0)]
    for index in range(1, count + 1):
        order = min(3, index, count + 1 - index)
        step = lambdas[index] - lambdas[index - 1]
        ratios = [(lambdas[index - 1 - back] - lambdas[index - 1]) / step for back in range(1, order)]
        differences = [(guesses[-1 - back] - guesses[-1]) / float(ratio) for back, ratio in enumerate(ratios, 1)]
        matrix = torch.stack([torch.stack([*ratios, torch.tensor(1.0).double()]) ** power for power in range(order)])
        phi, moments = torch.expm1(-step) / -step - 1, []
        for power in range(1, order + 1):
            moments.append(phi * math.factorial(power) / -step)
            phi = phi / -step - 1 / math.factorial(power + 1)
        right = torch.stack(moments)
        base = float(sigma[index] / sigma[index - 1]) * x - float(alpha[index] * torch.expm1(-step)) * guesses[-1]
        scale = float(alpha[index] * -step)
        if order > 1:
            weights = torch.full((1,), 0.5) if order == 2 else torch.linalg.solve(matrix[:-1, :-1], right[:-1])
            predicted = base - scale * sum(
                float(weight) * one for weight, one in zip(weights, differences, strict=True)
            )
        else:
            predicted = base
        if index == count:
            return predicted
        guesses.append(guess(predicted, index))
        weights = torch.full((1,), 0.5) if order == 1 else torch.linalg.solve(matrix, right)
        differences.append(guesses[-1] - guesses[-2])
        x = base - scale * sum(float(weight) * one for weight, one in zip(weights, differences, strict=True))
    return x


LOOPS: dict[str, tuple[Callable[..., Tensor], Callable[[Latents, int], Tensor] | None]] = {
    "DPM++ 2M": (dpmpp_2m, karras),
    "DPM++ SDE": (dpmpp_sde, karras),
    "DPM++ 2M SDE": (dpmpp_2m_sde, exponential),
    "DPM++ 2M SDE Heun": (lambda *given: dpmpp_2m_sde(*given, is_heun=True), exponential),
    "DPM++ 2S a": (dpmpp_2s_ancestral, karras),
    "DPM++ 3M SDE": (dpmpp_3m_sde, without_next_to_last(exponential)),
    "Euler a": (euler_ancestral, uniform),
    "Euler": (euler, uniform),
    "LMS": (lms, uniform),
    "Heun": (heun, uniform),
    "DPM2": (dpm_2, without_next_to_last(karras)),
    "DPM2 a": (lambda *given: dpm_2(*given, is_ancestral=True), without_next_to_last(karras)),
    "DPM fast": (dpm_fast, uniform),
    "DPM adaptive": (dpm_adaptive, uniform),
    "Restart": (restart, karras),
    "DDIM": (ddim, None),
    "DDIM CFG++": (lambda *given: ddim(*given, cfgpp=True), None),
    "PLMS": (plms, None),
    "UniPC": (unipc, None),
    "LCM": (lcm, uniform),
}
"""The loop of each sampler and its usual schedule; None for those that walk timesteps of latents of variance one."""


@torch.inference_mode()
def reference_latents(latents: Latents, sampler: str, steps: int) -> Tensor:
    """Return the clean latents of a run from noise."""
    loop, schedule = LOOPS[sampler]
    if schedule is None:
        return loop(latents, latents.draw(), steps)
    sigmas = schedule(latents, steps)
    return loop(latents, latents.draw() * sigmas[0], sigmas)
