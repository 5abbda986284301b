"""engines_sglang.py WHEEL - examples/python/sglang_algorithm.py inside SGLang's package: the map of expert locations as
the engine makes it, window after window, beside its own algorithms; preset DEEPSEEK beside its copy of the reference.
Needs PyTorch."""

import sys
import types
import zipfile

import numpy as np

sys.path.insert(0, "tests/support")
from engines import Tally, module, moves, published, torch_or_stand_in

WHEEL = sys.argv[1]
LAYERS, EXPERTS, SLOTS, GROUPS, NODES, RANKS, STEPS = 6, 64, 80, 8, 2, 8, 4

tally = Tally("engines_sglang.py")
check = tally.check
torch = torch_or_stand_in()
import eplb

# ------------------------------------------------------------------ the engine, and what its modules ask for

moe = types.SimpleNamespace(ep_num_redundant_experts=SLOTS - EXPERTS, eplb_algorithm="auto", ep_join_mode=None,
                            ep_dispatch_algorithm="static", moe_a2a_backend="deepep")
parallel = types.SimpleNamespace(ep_size=RANKS, nnodes=NODES, elastic_ep_initial_size=None)
resources = types.SimpleNamespace(expert_location_metadata=None)
elastic = types.SimpleNamespace(state=None)
module("sglang.srt.runtime_context", get_device=lambda: types.SimpleNamespace(device="cpu"),
       get_exec=lambda: types.SimpleNamespace(moe=moe), get_parallel=lambda: parallel, get_resources=lambda: resources)
module("sglang.srt.elastic_ep.elastic_ep", elastic_expanded_world_enabled=lambda: False, ElasticEPStateManager=
       types.SimpleNamespace(instance=lambda: elastic.state, healthy_rank_state=lambda: torch.ones(RANKS)))
Shape = types.SimpleNamespace(num_layers=LAYERS, num_logical_experts=EXPERTS, num_groups=GROUPS)
Model = types.SimpleNamespace(get_model_config_for_expert_location=lambda config: Shape)
module("sglang.srt.model_loader", get_model_architecture=lambda config: (Model, None))
torch.distributed.get_rank = lambda *group: 3

ALGORITHMS = "sglang.srt.eplb.eplb_algorithms"
published(WHEEL, "sglang.srt.eplb.expert_location")
sys.modules["sglang.srt.eplb"].expert_location = sys.modules["sglang.srt.eplb.expert_location"]
location = sys.modules["sglang.srt.eplb.expert_location"]
for algorithm in ("deepseek", "deepseek_vec", "elasticity_aware"):
    made = published(WHEEL, f"{ALGORITHMS}.{algorithm}")
    setattr(sys.modules[ALGORITHMS], algorithm, made)
algorithms = sys.modules[ALGORITHMS]
sys.modules["sglang.srt.eplb"].eplb_algorithms = algorithms


def engine(line=""):
    """Its package of algorithms as published, with this line at the end."""
    source = zipfile.ZipFile(WHEEL).read(ALGORITHMS.replace(".", "/") + "/__init__.py").decode()
    exec(source + "\n" + line + "\n", algorithms.__dict__)


def rebalance(load):
    """As the engine's manager does: the new metadata, which are then those in force."""
    made = location.ExpertLocationMetadata.init_by_eplb(types.SimpleNamespace(hf_config=None), torch.from_numpy(load))
    location.set_global_expert_location_metadata(made, allow_overwrite=True)
    return made


def plan_of(metadata):
    return metadata.physical_to_logical_map_cpu.numpy()


# ------------------------------------------------------------------------------------------------ tests

def windows(number):
    """[number, STEPS, L, E] whole tokens, drifting."""
    rng = np.random.default_rng(1)
    base, noise = rng.standard_normal((LAYERS, EXPERTS)), rng.standard_normal((LAYERS, EXPERTS))
    for _ in range(number):
        noise = 0.6 * noise + 0.8 * rng.standard_normal(noise.shape)
        yield rng.poisson(np.exp(5 + base + 0.26 * noise), (STEPS, LAYERS, EXPERTS)).astype(np.int32)


def serve(name):
    moe.eplb_algorithm, resources.expert_location_metadata = name, None
    location.set_global_expert_location_metadata(location.ExpertLocationMetadata.init_trivial(
        types.SimpleNamespace(hf_config=None), 3), allow_overwrite=True)
    plan, moved, even = plan_of(resources.expert_location_metadata), [], []
    for window in windows(12):
        even.append(eplb.evaluate(window, plan, num_gpus=RANKS).balancedness.mean())
        new = plan_of(rebalance(window))
        moved.append(moves(plan, new, RANKS))
        plan = new
    return np.array(moved[1:]).mean() * RANKS / SLOTS, np.mean(even[2:])


LINE = "from sglang_algorithm import rebalance_experts"


def test_windows():
    for name in ("deepseek", "deepseek_hierarchical", "deepseek_vec"):
        engine()
        theirs = serve(name)
        engine(LINE)
        ours = serve(name)
        check(f"{name}: a third of their moves", ours[0] * 3 < theirs[0])
        check(f"{name}: at most 0.03 less even", ours[1] > theirs[1] - 0.03)
        print(f"{name}: experts that move in a window {theirs[0]:.1%} of slots, here {ours[0]:.1%}; balancedness of "
              f"the next {theirs[1]:.3f}, here {ours[1]:.3f}")


def test_dead_rank():
    window = next(windows(1))
    moe.eplb_algorithm = "elasticity_aware"
    elastic.state = types.SimpleNamespace(active_ranks=torch.tensor([1, 1, 0, 1, 1, 1, 1, 1]))
    dead = np.arange(2 * SLOTS // RANKS, 3 * SLOTS // RANKS)
    for whose, line in (("theirs", ""), ("ours", LINE)):
        engine(line)
        location.set_global_expert_location_metadata(location.ExpertLocationMetadata.init_trivial(
            types.SimpleNamespace(hf_config=None), 3), allow_overwrite=True)
        made = rebalance(window)
        check(f"{whose}: expert 0 in a dead rank's slots", (plan_of(made)[:, dead] == 0).all())
        named = made.logical_to_all_physical_map_cpu.numpy()
        check(f"{whose}: which no expert's slots name", not np.isin(named, dead).any() and (named >= 0).any(2).all())
        again = eplb.inverse_maps(plan_of(made), EXPERTS, num_gpus=RANKS, gpu_lost=np.arange(RANKS) == 2)
        check(f"{whose}: nor with the mask", (again[1].sum(1) == SLOTS - dead.size).all() and
              not np.isin(again[0], dead).any())
    elastic.state = None


def test_reference():
    """On loads without ties. Their copy adds up the loads of a pack in double precision: where no sum is rounded in
    float32 either, all plans are the same, else all but a few."""
    rng, same = np.random.default_rng(3), 0
    for groups, nodes in ((1, 1), (GROUPS, NODES)) * 50:
        exact = np.stack([rng.permutation(1 << 12)[:EXPERTS] + 1.0 for _ in range(LAYERS)])
        rough = rng.lognormal(3, 1, (LAYERS, EXPERTS)).astype(np.float32)
        for load, slots in ((exact, EXPERTS), (rough, SLOTS)):
            load, shape = torch.from_numpy(load), (slots, groups, nodes, RANKS)
            theirs = algorithms.deepseek.rebalance_experts(load, *shape, enable_hierarchical=groups > 1)
            ours = eplb.rebalance_experts(load, *shape, preset="deepseek")
            equal = [(a.numpy() == b.numpy()).all() for a, b in zip(theirs, ours)]
            if slots == EXPERTS:
                check("exact sums, no ties: the same plan", all(equal))
            else:
                same += sum(np.array_equal(a, b) for a, b in zip(theirs[0].numpy(), ours[0].numpy()))
    check("rounded sums: nearly all layers", same > 0.97 * 100 * LAYERS)
    print(f"preset DEEPSEEK beside their copy of the reference, rounded sums: {same} of {100 * LAYERS} layers the same")


test_windows(), test_dead_rank(), test_reference()
tally.end()
