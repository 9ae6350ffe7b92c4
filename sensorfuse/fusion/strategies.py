"""The table of fusion strategies. One row each; nothing registers itself by import."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.fuser import Fuser
from sensorfuse.fusion.model_files import weights_folder
from sensorfuse.rig import Rig


@dataclass(frozen=True)
class Strategy:
    """`runtime` makes the fuser (`module:class`), `method` holds the equations; for a learned strategy that is a torch
    module.
    """

    name: str
    kind: Literal["objects", "learned"]
    runtime: str
    method: str
    summary: str
    reference: str


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        "late",
        "objects",
        "sensorfuse.fusion.late:LateFusion",
        "sensorfuse.fusion.late:LateFusion",
        "each sensor detects on its own; objects are fused",
        "Durrant-Whyte and Henderson, Multisensor Data Fusion, 2008",
    ),
    Strategy(
        "hybrid",
        "learned",
        "sensorfuse.fusion.learned:LearnedFusion",
        "sensorfuse.fusion.methods.hybrid:HybridFusion",
        "early, late and pairwise-product fusion of bird's-eye-view tokens, mixed by learned gates",
        "Baltrusaitis, Ahuja, Morency, TPAMI 2019; Rendle, ICDM 2010",
    ),
    Strategy(
        "cross_modal_attention",
        "learned",
        "sensorfuse.fusion.learned:LearnedFusion",
        "sensorfuse.fusion.methods.cross_modal_attention:CrossModalAttentionFusion",
        "every modality's tokens attend to every other's",
        "Tsai et al., Multimodal Transformer, ACL 2019",
    ),
    Strategy(
        "tensor_fusion",
        "learned",
        "sensorfuse.fusion.learned:LearnedFusion",
        "sensorfuse.fusion.methods.tensor_fusion:TensorFusion",
        "every product of up to all modalities' small codes, as one outer product",
        "Zadeh et al., Tensor Fusion Network, EMNLP 2017",
    ),
    Strategy(
        "low_rank",
        "learned",
        "sensorfuse.fusion.learned:LearnedFusion",
        "sensorfuse.fusion.methods.low_rank:LowRankFusion",
        "the tensor of all modalities' products, weighted by low-rank factors",
        "Liu et al., Low-rank Multimodal Fusion, ACL 2018",
    ),
    Strategy(
        "polynomial",
        "learned",
        "sensorfuse.fusion.learned:LearnedFusion",
        "sensorfuse.fusion.methods.polynomial:PolynomialFusion",
        "powers of linear forms of all modalities, over neighbouring places",
        "Hou et al., Polynomial Tensor Pooling, NeurIPS 2019",
    ),
    Strategy(
        "recurrent_residual",
        "learned",
        "sensorfuse.fusion.learned:LearnedFusion",
        "sensorfuse.fusion.methods.recurrent_residual:RecurrentResidualFusion",
        "one residual block run several times over all modalities; its states are fused",
        "Liu, Guo, Bakker, Lew, ICCV 2017",
    ),
    Strategy(
        "auto_fusion",
        "learned",
        "sensorfuse.fusion.learned:LearnedFusion",
        "sensorfuse.fusion.methods.auto_fusion:AutoFusion",
        "a code of all modalities from which they can be rebuilt; its error shows faults",
        "Sahu and Vechtomova, Adaptive Fusion Techniques, EACL 2021",
    ),
    Strategy(
        "product_of_experts",
        "learned",
        "sensorfuse.fusion.learned:LearnedFusion",
        "sensorfuse.fusion.methods.product_of_experts:ProductOfExpertsFusion",
        "every modality gives a Gaussian; precisions add up, with a prior",
        "Hinton, 2002; Wu and Goodman, Multimodal VAE, NeurIPS 2018",
    ),
    Strategy(
        "gan_fusion",
        "learned",
        "sensorfuse.fusion.learned:LearnedFusion",
        "sensorfuse.fusion.methods.gan_fusion:GanFusion",
        "each modality learns to look like what the others say, by a discriminator",
        "Sahu and Vechtomova, Adaptive Fusion Techniques, EACL 2021",
    ),
    Strategy(
        "memory",
        "learned",
        "sensorfuse.fusion.learned:LearnedFusion",
        "sensorfuse.fusion.methods.memory:MemoryFusion",
        "a recurrent memory per modality and one over all, which sees how theirs change",
        "Zadeh et al., Memory Fusion Network, AAAI 2018",
    ),
    Strategy(
        "modal_attention",
        "learned",
        "sensorfuse.fusion.learned:LearnedFusion",
        "sensorfuse.fusion.methods.modal_attention:ModalAttentionFusion",
        "the joint feature of all modalities says how much each counts, token by token",
        "Ruan, Yan, Wang, Alibaba video understanding, 2020",
    ),
    Strategy(
        "co_attention",
        "learned",
        "sensorfuse.fusion.learned:LearnedFusion",
        "sensorfuse.fusion.methods.co_attention:CoAttentionFusion",
        "streams with layers of their own that ask one another, both ways, in every layer",
        "Lu et al., ViLBERT, NeurIPS 2019",
    ),
    Strategy(
        "single_stream",
        "learned",
        "sensorfuse.fusion.learned:LearnedFusion",
        "sensorfuse.fusion.methods.single_stream:SingleStreamFusion",
        "one transformer over the tokens of all modalities",
        "Chen et al., UNITER, ECCV 2020; Kim, Son, Kim, ViLT, ICML 2021",
    ),
    Strategy(
        "bottleneck",
        "learned",
        "sensorfuse.fusion.learned:LearnedFusion",
        "sensorfuse.fusion.methods.bottleneck:BottleneckFusion",
        "streams tell one another only what passes through a few shared tokens",
        "Nagrani et al., Attention Bottlenecks, NeurIPS 2021",
    ),
    Strategy(
        "gated_cross_attention",
        "learned",
        "sensorfuse.fusion.learned:LearnedFusion",
        "sensorfuse.fusion.methods.gated_cross_attention:GatedCrossAttentionFusion",
        "a trunk for one sensor, into which gates let the others",
        "Alayrac et al., Flamingo, NeurIPS 2022",
    ),
    Strategy(
        "coordinated",
        "learned",
        "sensorfuse.fusion.learned:LearnedFusion",
        "sensorfuse.fusion.methods.coordinated:CoordinatedFusion",
        "every modality has a space of its own; training by contrast makes them agree",
        "Chen et al., SimCLR, ICML 2020; Girdhar et al., ImageBind, CVPR 2023",
    ),
    Strategy(
        "early",
        "learned",
        "sensorfuse.fusion.learned:LearnedFusion",
        "sensorfuse.fusion.methods.early:EarlyFusion",
        "features of all modalities side by side into one network",
        "Baltrusaitis, Ahuja, Morency, TPAMI 2019",
    ),
    Strategy(
        "late_learned",
        "learned",
        "sensorfuse.fusion.learned:LearnedFusion",
        "sensorfuse.fusion.methods.late_learned:LateLearnedFusion",
        "each modality decides on its own; decisions are averaged by learned confidence",
        "Baltrusaitis, Ahuja, Morency, TPAMI 2019",
    ),
    Strategy(
        "parameter_sharing",
        "learned",
        "sensorfuse.fusion.learned:LearnedFusion",
        "sensorfuse.fusion.methods.parameter_sharing:ParameterSharingFusion",
        "one trunk for all modalities, normalised for each",
        "Wang et al., Asymmetric Multi-layer Fusion, ACM Multimedia 2020",
    ),
    Strategy(
        "channel_exchange",
        "learned",
        "sensorfuse.fusion.learned:LearnedFusion",
        "sensorfuse.fusion.methods.channel_exchange:ChannelExchangeFusion",
        "modalities' networks swap the channels they do not need",
        "Wang et al., Channel Exchanging, NeurIPS 2020",
    ),
    Strategy(
        "pyramid",
        "learned",
        "sensorfuse.fusion.learned:LearnedFusion",
        "sensorfuse.fusion.methods.pyramid:PyramidFusion",
        "fused at several scales, coarse ones carried down to the fine",
        "Lin et al., Feature Pyramid Networks, CVPR 2017",
    ),
    Strategy(
        "two_stream",
        "learned",
        "sensorfuse.fusion.learned:LearnedFusion",
        "sensorfuse.fusion.methods.two_stream:TwoStreamFusion",
        "maps of all modalities side by side into one convolution",
        "Feichtenhofer, Pinz, Zisserman, CVPR 2016",
    ),
    Strategy(
        "data_level",
        "learned",
        "sensorfuse.fusion.learned:LearnedFusion",
        "sensorfuse.fusion.methods.data_level:DataLevelFusion",
        "all modalities side by side at every place, then one encoder for all",
        "Vora et al., PointPainting, CVPR 2020",
    ),
    Strategy(
        "graph",
        "learned",
        "sensorfuse.fusion.learned:LearnedFusion",
        "sensorfuse.fusion.methods.graph:GraphFusion",
        "nodes for modalities, pairs and all; edges decided place by place",
        "Zadeh et al., Dynamic Fusion Graph, ACL 2018",
    ),
    Strategy(
        "searched",
        "learned",
        "sensorfuse.fusion.learned:LearnedFusion",
        "sensorfuse.fusion.methods.searched:SearchedFusion",
        "which depths of the modalities meet, and how, found by a search",
        "Perez-Rua et al., Multimodal Fusion Architecture Search, CVPR 2019",
    ),
)


def strategy_names() -> list[str]:
    return [s.name for s in STRATEGIES]


def ready_strategies(weights: Path | None = None) -> list[str]:
    """Those that run as installed: object-level ones, and learned ones whose weights are there, by default the shipped
    ones.
    """
    folder = weights or weights_folder()
    return [s.name for s in STRATEGIES if s.kind == "objects" or (folder / f"{s.name}.json").is_file()]


def find_strategy(name: str) -> Strategy:
    """The row of a strategy.

    Raises:
        SensorfuseError: no strategy has that name.
    """
    for strategy in STRATEGIES:
        if strategy.name == name:
            return strategy
    raise SensorfuseError(f"no fusion strategy is called {name!r}; choose one of: {', '.join(strategy_names())}")


def find_learned(name: str) -> Strategy:
    """The row of a strategy that has networks.

    Raises:
        SensorfuseError: no strategy has that name, or it has none.
    """
    strategy = find_strategy(name)
    if strategy.kind != "learned":
        raise SensorfuseError(f"strategy {name!r} is not learned: there is nothing to train")
    return strategy


def load_class(target: str) -> type:
    """The class that `module:class` names."""
    module, _, name = target.partition(":")
    loaded = getattr(import_module(module), name)
    assert isinstance(loaded, type)
    return loaded


def make_fuser(rig: Rig, strategy: str, weights: Path | None = None) -> Fuser:
    """A strategy ready to run on a rig, with the networks of a folder, by default the shipped ones. It needs no torch.

    Raises:
        SensorfuseError: unknown strategy, or its weights are missing or unreadable.
    """
    row = find_strategy(strategy)
    make = load_class(row.runtime)
    fuser: Fuser = make(rig) if row.kind == "objects" else make(rig, row.name, weights)
    return fuser
