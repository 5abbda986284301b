/* ascend.c - the expert map of vllm-ascend 0.23 (eplb_config.expert_map_path; eplb/core/eplb_utils.py reads it,
   eplb/adaptor/vllm_adaptor.py writes it): {"moe_layer_count": L, "layer_list": [{"layer_id": i, "device_count": G,
   "device_list": [{"device_id": g, "device_expert": [..]}, ..]}, ..]}.

   It is read there by position: layers and devices by where they stand in their lists, not by their ids, so that a file
   in which the two differ is refused here. Each device's experts become a map from experts to its slots, which has one
   slot of an expert only: of two on a device, the first is never used. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

/* The value is a number that says where its object stands. */
static void ascend_check_place(map_reader *r, const char *what, int32_t place)
{
    int64_t id = map_integer(r, map_next(r), 0, INT32_MAX, "is no number from 0 on");
    if (id != place)
        text_fail(r->scan.at, "%s %lld where %d should be: vllm-ascend 0.23 goes by the order of the list", what,
                  (long long)id, (int)place);
}

/* The experts of a device, which end up behind those of the ones before it; returns how many. */
static int32_t ascend_add_device(map_reader *r, int32_t device)
{
    text_place place = r->scan.at;
    size_t first = r->num_slots;
    bool found = false;
    while (map_next(r) == JSON_NAME) {
        bool is_id = map_has(r, "device_id"), is_list = map_has(r, "device_expert");
        if (is_id) {
            ascend_check_place(r, "device", device);
            continue;
        }
        json_event value = map_next(r);
        if (!is_list) {
            json_skip(&r->scan, value);
            continue;
        }
        if (value != JSON_ARRAY || found) text_fail(r->scan.at, "an array should begin here: the experts of a device");
        found = true;
        for (value = map_next(r); value != JSON_ARRAY_END; value = map_next(r)) map_add_slot(r, value);
    }
    if (r->num_slots == first) text_fail(place, "a device without \"device_expert\"");
    return (int32_t)(r->num_slots - first);
}

/* The devices of a layer, each with as many experts. */
static void ascend_add_devices(map_reader *r)
{
    size_t first = r->num_slots;
    int32_t devices = 0, each = 0;
    if (map_next(r) != JSON_ARRAY) text_fail(r->scan.at, "an array should begin here: the devices of a layer");
    for (json_event event = map_next(r); event != JSON_ARRAY_END; event = map_next(r)) {
        text_place place = r->scan.at;
        if (event != JSON_OBJECT) text_fail(place, "an object should begin here: a device with its \"device_expert\"");
        int32_t here = ascend_add_device(r, devices);
        if (devices++ > 0 && here != each)
            text_fail(place, "a device of %d experts; those above have %d", (int)here, (int)each);
        each = here;
    }
    map_end_layer(r, r->num_slots - first);
    if (r->map.num_gpus && r->map.num_gpus != devices)
        text_fail(r->scan.at, "a layer of %d devices; those above have %d", (int)devices, (int)r->map.num_gpus);
    r->map.num_gpus = devices;
}

static void ascend_add_layer(map_reader *r)
{
    text_place place = r->scan.at, at = place;
    int32_t before = r->map.num_layers;
    int64_t count = -1;
    while (map_next(r) == JSON_NAME) {
        if (map_has(r, "layer_id")) ascend_check_place(r, "layer", before);
        else if (map_has(r, "device_list") && r->map.num_layers == before) ascend_add_devices(r);
        else if (map_has(r, "device_count")) {
            count = map_integer(r, map_next(r), 1, INT32_MAX, "is no number of devices");
            at = r->scan.at;
        } else json_skip(&r->scan, map_next(r));
    }
    if (r->map.num_layers == before) text_fail(place, "a layer without \"device_list\"");
    if (count >= 0 && count != r->map.num_gpus)
        text_fail(at, "device_count is %lld, but device_list has %d", (long long)count, (int)r->map.num_gpus);
}

static void ascend_add_layers(map_reader *r)
{
    if (map_next(r) != JSON_ARRAY || r->map.num_layers > 0)
        text_fail(r->scan.at, "an array should begin here: the layers, once");
    for (json_event event = map_next(r); event != JSON_ARRAY_END; event = map_next(r)) {
        if (event != JSON_OBJECT)
            text_fail(r->scan.at, "an object should begin here: a layer with its \"device_list\"");
        ascend_add_layer(r);
    }
}

plan_map ascend_read(source from)
{
    map_reader r = map_begin(from);
    (void)map_next(&r);
    text_place place = r.scan.at, at = place;
    int64_t count = -1;
    while (map_next(&r) == JSON_NAME) {
        if (map_has(&r, "layer_list")) ascend_add_layers(&r);
        else if (map_has(&r, "moe_layer_count")) {
            count = map_integer(&r, map_next(&r), 1, INT32_MAX, "is no number of layers");
            at = r.scan.at;
        } else json_skip(&r.scan, map_next(&r));
    }
    if (r.map.num_layers == 0) text_fail(place, "a plan without layers in \"layer_list\"");
    if (count < 0) text_fail(place, "a plan without \"moe_layer_count\", which vllm-ascend 0.23 reads first");
    if (count != r.map.num_layers)
        text_fail(at, "moe_layer_count is %lld, but layer_list has %d", (long long)count, (int)r.map.num_layers);
    return map_end(&r);
}

/* A device stands on one line. */
void ascend_write(FILE *out, const plan_map *m)
{
    int32_t slots = m->num_replicas / m->num_gpus;
    fprintf(out, "{\"moe_layer_count\":%d,\"layer_list\":[\n", (int)m->num_layers);
    for (int32_t i = 0; i < m->num_layers; i++) {
        const int32_t *phy2log = m->phy2log + (size_t)i * (size_t)m->num_replicas;
        fprintf(out, "{\"layer_id\":%d,\"device_count\":%d,\"device_list\":[\n", (int)i, (int)m->num_gpus);
        for (int32_t gpu = 0; gpu < m->num_gpus; gpu++) {
            fprintf(out, "{\"device_id\":%d,\"device_expert\":", (int)gpu);
            for (int32_t slot = 0; slot < slots; slot++)
                fprintf(out, "%s%d", slot ? "," : "[", (int)phy2log[gpu * slots + slot]);
            fprintf(out, "]}%s\n", gpu + 1 < m->num_gpus ? "," : "");
        }
        fprintf(out, "]}%s\n", i + 1 < m->num_layers ? "," : "");
    }
    fprintf(out, "]}\n");
}
