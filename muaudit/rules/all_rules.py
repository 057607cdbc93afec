"""The list of all rules, in the order of their codes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from muaudit.errors import UserError
from muaudit.rules.mup101_hidden_init import HiddenInit
from muaudit.rules.mup102_input_init import InputInit
from muaudit.rules.mup103_output_init import OutputInit
from muaudit.rules.mup104_bias_init import BiasInit
from muaudit.rules.mup105_gain_init import GainInit
from muaudit.rules.mup106_nonzero_mean_init import NonzeroMeanInit
from muaudit.rules.mup107_scalar_init import ScalarInit
from muaudit.rules.mup108_init_undone import InitUndone
from muaudit.rules.mup109_init_setting import InitSetting
from muaudit.rules.mup201_attention_scale import AttentionScale
from muaudit.rules.mup202_readout_multiplier_missing import ReadoutMultiplierMissing
from muaudit.rules.mup203_readout_multiplier_doubled import ReadoutMultiplierDoubled
from muaudit.rules.mup204_input_multiplier import InputMultiplier
from muaudit.rules.mup205_hidden_multiplier import HiddenMultiplier
from muaudit.rules.mup206_contraction_scale import ContractionScale
from muaudit.rules.mup207_branch_scale import BranchScale
from muaudit.rules.mup208_vector_multiplier import VectorMultiplier
from muaudit.rules.mup209_attention_factor_on_output import AttentionFactorOnOutput
from muaudit.rules.mup210_path_differs import PathDiffers
from muaudit.rules.mup301_hidden_lr import HiddenLr
from muaudit.rules.mup302_input_lr import InputLr
from muaudit.rules.mup303_output_lr import OutputLr
from muaudit.rules.mup304_bias_lr import BiasLr
from muaudit.rules.mup305_gain_lr import GainLr
from muaudit.rules.mup306_scalar_lr import ScalarLr
from muaudit.rules.mup307_scheduled_lr import ScheduledLr
from muaudit.rules.mup308_unused_group_factor import UnusedGroupFactor
from muaudit.rules.mup310_weight_decay_exponent import WeightDecayExponent
from muaudit.rules.mup311_adam_eps import AdamEps
from muaudit.rules.mup312_l2_in_adam import L2InAdam
from muaudit.rules.mup313_muon_scale import MuonScale
from muaudit.rules.mup314_wrong_optimizer_table import WrongOptimizerTable
from muaudit.rules.mup315_setting_varies import SettingVaries
from muaudit.rules.mup316_first_steps import FirstSteps
from muaudit.rules.mup317_own_rate import OwnRate
from muaudit.rules.mup318_held_twice import HeldTwice
from muaudit.rules.mup319_schedule_shape import ScheduleShape
from muaudit.rules.mup320_decay_not_as_set import DecayNotAsSet
from muaudit.rules.mup321_decay_free_group import DecayFreeGroup
from muaudit.rules.mup322_orthogonalised_role import OrthogonalisedRole
from muaudit.rules.mup323_orthogonalised_as_one import OrthogonalisedAsOne
from muaudit.rules.mup324_optimizer_setting import OptimizerSetting
from muaudit.rules.mup325_orthogonalised_in_pieces import OrthogonalisedInPieces
from muaudit.rules.mup401_three_infinite_dims import ThreeInfiniteDims
from muaudit.rules.mup402_tied_readout import TiedReadout
from muaudit.rules.mup403_width_reaches_no_parameter import WidthReachesNoParameter
from muaudit.rules.mup404_width_left_behind import WidthLeftBehind
from muaudit.rules.mup405_no_gradient import NoGradient
from muaudit.rules.mup406_in_no_param_group import InNoParamGroup
from muaudit.rules.mup407_dead_path import DeadPath
from muaudit.rules.mup501_zero_init_readout import ZeroInitReadout
from muaudit.rules.mup502_small_head_dim import SmallHeadDim
from muaudit.rules.mup503_decay_on_vectors import DecayOnVectors
from muaudit.rules.mup504_base_width_differs import BaseWidthDiffers
from muaudit.rules.mup505_seen_to_break_transfer import SeenToBreakTransfer
from muaudit.rules.mup506_assumes_equal_growth import AssumesEqualGrowth
from muaudit.rules.mup507_dropout_varies import DropoutVaries
from muaudit.rules.mup508_fused_projection import FusedProjection
from muaudit.rules.mup509_zero_init_query import ZeroInitQuery
from muaudit.rules.mup510_squashing_activation import SquashingActivation
from muaudit.rules.mup511_init_not_gaussian import InitNotGaussian
from muaudit.rules.mup512_short_sequences import ShortSequences
from muaudit.rules.mup601_unused_ignore import UnusedIgnore
from muaudit.rules.mup602_ignore_without_reason import IgnoreWithoutReason
from muaudit.rules.mup603_ignore_not_understood import IgnoreNotUnderstood
from muaudit.rules.mup604_stale_baseline_entry import StaleBaselineEntry
from muaudit.rules.mup701_depth_ignored import DepthIgnored
from muaudit.rules.mup702_depth_in_init_alone import DepthInInitAlone
from muaudit.rules.mup703_branch_multiplier import BranchMultiplier
from muaudit.rules.mup704_branch_lr import BranchLr
from muaudit.rules.mup705_branch_init import BranchInit
from muaudit.rules.mup706_outside_depth import OutsideDepth
from muaudit.rules.mup707_branch_eps import BranchEps
from muaudit.rules.mup708_skip_scaled import SkipScaled
from muaudit.rules.mup709_into_every_block import IntoEveryBlock
from muaudit.rules.mup710_lazy_blocks import LazyBlocks
from muaudit.rules.mup711_depth_in_constant import DepthInConstant
from muaudit.rules.mup712_decay_over_depth import DecayOverDepth
from muaudit.rules.mup901_op_not_understood import OpNotUnderstood
from muaudit.rules.mup902_not_a_power_law import NotAPowerLaw
from muaudit.rules.mup903_optimizer_not_known import OptimizerNotKnown
from muaudit.rules.mup904_parameter_not_reached import ParameterNotReached
from muaudit.rules.mup905_stack_not_read import StackNotRead
from muaudit.rules.rule import Rule
from muaudit.suggest import nearest

_OF_ANY_PATH: tuple[Rule, ...] = (
    HiddenInit(),
    InputInit(),
    OutputInit(),
    BiasInit(),
    GainInit(),
    NonzeroMeanInit(),
    ScalarInit(),
    InitUndone(),
    InitSetting(),
    AttentionScale(),
    ReadoutMultiplierMissing(),
    ReadoutMultiplierDoubled(),
    InputMultiplier(),
    HiddenMultiplier(),
    ContractionScale(),
    BranchScale(),
    VectorMultiplier(),
    AttentionFactorOnOutput(),
    HiddenLr(),
    InputLr(),
    OutputLr(),
    BiasLr(),
    GainLr(),
    ScalarLr(),
    ScheduledLr(),
    UnusedGroupFactor(),
    WeightDecayExponent(),
    AdamEps(),
    L2InAdam(),
    MuonScale(),
    WrongOptimizerTable(),
    SettingVaries(),
    FirstSteps(),
    OwnRate(),
    HeldTwice(),
    ScheduleShape(),
    DecayNotAsSet(),
    DecayFreeGroup(),
    OrthogonalisedRole(),
    OrthogonalisedAsOne(),
    OptimizerSetting(),
    OrthogonalisedInPieces(),
    ThreeInfiniteDims(),
    TiedReadout(),
    WidthReachesNoParameter(),
    WidthLeftBehind(),
    NoGradient(),
    InNoParamGroup(),
    DeadPath(),
    ZeroInitReadout(),
    SmallHeadDim(),
    DecayOnVectors(),
    BaseWidthDiffers(),
    SeenToBreakTransfer(),
    AssumesEqualGrowth(),
    DropoutVaries(),
    FusedProjection(),
    ZeroInitQuery(),
    SquashingActivation(),
    InitNotGaussian(),
    ShortSequences(),
    UnusedIgnore(),
    IgnoreWithoutReason(),
    IgnoreNotUnderstood(),
    StaleBaselineEntry(),
    DepthIgnored(),
    DepthInInitAlone(),
    BranchMultiplier(),
    BranchLr(),
    BranchInit(),
    OutsideDepth(),
    BranchEps(),
    SkipScaled(),
    IntoEveryBlock(),
    LazyBlocks(),
    DepthInConstant(),
    DecayOverDepth(),
    OpNotUnderstood(),
    NotAPowerLaw(),
    OptimizerNotKnown(),
    ParameterNotReached(),
    StackNotRead(),
)
RULES: tuple[Rule, ...] = tuple(sorted((*_OF_ANY_PATH, PathDiffers(_OF_ANY_PATH)), key=lambda rule: rule.code))
_BY_CODE: Mapping[str, Rule] = MappingProxyType({rule.code: rule for rule in RULES})
_BY_NAME: Mapping[str, Rule] = MappingProxyType({rule.name: rule for rule in RULES})


def looked_for(code: str, axes: Collection[str]) -> bool:
    """Whether an audit along one of these axes looks for a rule whose code begins like this."""
    return any(rule.code.startswith(code) and (not rule.axis or rule.axis in axes) for rule in RULES)


def get_rule(text: str) -> Rule:
    """The rule with this code or name, in any case: `MUP201`, `mup201`, `201`, `attention-scale`.

    Raises:
        UserError: no such rule; says the nearest one.
    """
    key = text.strip()
    code = f"MUP{key}" if key.isdigit() else key.upper()
    rule = _BY_CODE.get(code) or _BY_NAME.get(key.lower())
    if rule is not None:
        return rule
    known = [*_BY_NAME] if "-" in key else [*_BY_CODE]
    hint = nearest(code if known[0] in _BY_CODE else key, known, "rules")
    raise UserError(f"unknown rule {text!r}", f"{hint}\nall of them: muaudit rules")
