"""Time the reference algorithm in PyTorch on the CPU, for `bench --torch`.

    reference.py FILE L E R K N G REPETITIONS

FILE holds loads, float32 [L, E], and the plan of preset DEEPSEEK for them, int32 [L, R]. Prints "times" and
the CPU seconds of each repetition, or one line that says why there are none. Exit status 1 when the plan
made here is another one.

Whatever has the same form in every layer is done for all of them at once: sorts, gathers, and the steps of
replication, each an argmax over the experts. Packing is a loop over items in plain Python, with pack loads
in an array of float32, which is faster than tensors of one element.
"""
import sys
import time
import warnings
from array import array

warnings.filterwarnings("ignore", message="Failed to initialize NumPy")  # torch's, which needs none here
try:
    import torch
except ImportError as error:
    print(f"{sys.executable} has no torch ({error})")
    sys.exit(0)


def pack(load, num_packs):
    """[X, n] loads -> pack of each item and its place there, [X, n] each; n / num_packs items in each."""
    rows, n = load.shape
    room = n // num_packs
    if room == 1:
        return torch.arange(n).expand(rows, n), torch.zeros(rows, n, dtype=torch.int64)
    order = load.sort(dim=1, descending=True, stable=True)
    pack_of = torch.empty(rows, n, dtype=torch.int64)
    place = torch.empty(rows, n, dtype=torch.int64)
    for row in range(rows):
        pack_load = array("f", bytes(4 * num_packs))
        fill = [0] * num_packs
        packs, places = [], []
        has_room = list(range(num_packs))
        for item_load in order.values[row].tolist():
            lightest = min(has_room, key=pack_load.__getitem__)
            packs.append(lightest)
            places.append(fill[lightest])
            pack_load[lightest] += item_load
            fill[lightest] += 1
            if fill[lightest] == room:
                has_room.remove(lightest)
        pack_of[row, order.indices[row]] = torch.tensor(packs)
        place[row, order.indices[row]] = torch.tensor(places)
    return pack_of, place


def replicate(load, num_slots):
    """[X, n] loads -> item of each slot [X, num_slots], which replica of it, and replicas of each item."""
    rows, n = load.shape
    row = torch.arange(rows)
    item = torch.arange(n).repeat(rows, 1)
    item = torch.cat([item, item.new_empty(rows, num_slots - n)], dim=1)
    rank = torch.zeros_like(item)
    count = torch.ones(rows, n, dtype=torch.int64)
    score = load.clone()
    for slot in range(n, num_slots):
        neediest = score.argmax(dim=1)
        item[:, slot] = neediest
        rank[:, slot] = count[row, neediest]
        count[row, neediest] += 1
        score[row, neediest] = load[row, neediest] / count[row, neediest]
    return item, rank, count


def inverse(permutation):
    """Of each row."""
    places = torch.arange(permutation.shape[1]).expand_as(permutation)
    return torch.empty_like(permutation).scatter_(1, permutation, places.contiguous())


def plan(load, num_slots, num_groups, num_nodes, num_gpus):
    """[L, E] loads -> phy2log [L, R], phyrank [L, R], logcnt [L, E], log2phy [L, E, most replicas]."""
    layers, experts = load.shape
    group_size, node_groups = experts // num_groups, num_groups // num_nodes
    node_experts, node_slots = experts // num_nodes, num_slots // num_nodes
    gpu_slots = num_slots // num_gpus

    group_load = load.new_zeros(layers, num_groups)
    for in_group in load.view(layers, num_groups, group_size).unbind(dim=2):
        group_load += in_group  # in index order, which sum() does not promise
    node, place = pack(group_load, num_nodes)
    first = (node * node_groups + place) * group_size  # of each group, in the order by nodes
    by_node = (first.unsqueeze(2) + torch.arange(group_size)).view(layers, experts)
    expert_at = inverse(by_node)

    node_load = load.gather(1, expert_at).view(layers * num_nodes, node_experts)
    item, rank, count = replicate(node_load, node_slots)
    gpu, place = pack((node_load / count).gather(1, item), num_gpus // num_nodes)
    slot_at = inverse(gpu * gpu_slots + place)

    first_expert = (torch.arange(num_nodes) * node_experts).view(1, num_nodes, 1)
    in_node = item.gather(1, slot_at).view(layers, num_nodes, node_slots) + first_expert
    phy2log = expert_at.gather(1, in_node.view(layers, num_slots))
    phyrank = rank.gather(1, slot_at).view(layers, num_slots)
    logcnt = count.view(layers, experts).gather(1, by_node)
    width = int(logcnt.max())
    log2phy = torch.full((layers, experts * width), -1, dtype=torch.int64)
    slots = torch.arange(num_slots).repeat(layers, 1)
    log2phy.scatter_(1, phy2log * width + phyrank, slots)
    return phy2log, phyrank, logcnt, log2phy.view(layers, experts, width)


def main():
    layers, experts, slots, groups, nodes, gpus, repetitions = map(int, sys.argv[2:])
    with open(sys.argv[1], "rb") as file:
        raw = bytearray(file.read())
    load = torch.frombuffer(raw, dtype=torch.float32, count=layers * experts).view(layers, experts)
    expected = torch.frombuffer(raw, dtype=torch.int32, offset=4 * layers * experts).view(layers, slots)
    torch.set_num_threads(1)  # as everybody else in the benchmark

    phy2log = plan(load, slots, groups, nodes, gpus)[0]
    differing = int((phy2log != expected).any(dim=1).sum())
    if differing:
        print(f"reference.py: {differing} of {layers} layers differ from preset DEEPSEEK", file=sys.stderr)
        return 1
    print("times")
    for _ in range(repetitions):
        start = time.thread_time()
        plan(load, slots, groups, nodes, gpus)
        print(time.thread_time() - start)
    return 0


if __name__ == "__main__":
    sys.exit(main())
