/* test_plan_hash.c - the hashes of hashes.h, over all their cases, or over fewer.

   usage: test_plan_hash [few or some] */
#include "eplb.h"
#include "test.h"
#include "hashes.h"

int main(int argc, char **argv)
{
    const char *size = argc > 1 ? argv[1] : "all";
    check_hashes(strcmp(size, "few") == 0 ? HASH_FEW : strcmp(size, "some") == 0 ? HASH_SOME : HASH_ALL);
    return test_report("test_plan_hash");
}
