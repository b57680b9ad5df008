"""The settings of the plugin: what holds for all runs on a machine. It imports no torch and computes nothing."""

from __future__ import annotations

from typing import Annotated, Literal

from stable_core.sdk import Field, ModelFile, Params

Offload = Literal["nothing", "models", "layers"]
Attention = Literal["SDPA", "xformers", "Sliced", "Sub-quadratic"]
VaeMode = Literal["whole", "slices", "tiles"]
Storage = Literal["full", "fp8", "fp8 for XL"]


class SdSettings(Params):
    """What holds for all runs on this machine."""

    precision: Literal["auto", "fp32", "fp16", "bf16"] = Field(
        default="auto",
        description="Number format of the models: auto is fp32 on a CPU and fp16 on a GPU; bf16 needs a newer GPU",
    )
    checkpoints_in_memory: int = Field(
        default=2,
        ge=1,
        le=16,
        description="Checkpoints that stay in main memory, if it is large enough, so that changing back takes no time",
    )
    offload: Offload = Field(
        default="nothing",
        description="What waits in main memory until it runs: models keeps one model on the GPU, layers a part of it, "
        "which is slow",
    )
    attention: Attention = Field(
        default="SDPA",
        description="How attention is computed: all make the same picture; Sliced and Sub-quadratic need less memory",
    )
    vae_mode: VaeMode = Field(
        default="whole", description="How pictures are decoded: slices one by one, tiles also large ones in parts"
    )
    storage: Storage = Field(
        default="full", description="fp8 keeps the UNet in half the memory of fp16 and changes pictures a little"
    )
    default_vae: Annotated[str, ModelFile("vae")] = Field(
        default="Automatic",
        title="Default VAE",
        examples=["Automatic", "None"],
        description="VAE of the runs that leave theirs at Automatic; Automatic takes a file named like the checkpoint",
    )
    hypernetwork: Annotated[str, ModelFile("hypernetworks")] = Field(
        default="None", examples=["None"], description="Hypernetwork that is added to every prompt"
    )
    retry_with_less: bool = Field(
        default=True, description="When memory runs out, run again in a way that needs less instead of failing"
    )
    allow_code: bool = Field(
        default=False,
        description="Run Python that clients send (sd.custom_code), with all rights of the account the server runs as",
    )
