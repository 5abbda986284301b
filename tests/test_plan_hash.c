/* test_plan_hash.c - the hashes of hashes.h, over some of their cases, or fewer, or all.

   usage: test_plan_hash [few, some or all] */
#include "eplb.h"
#include "test.h"
#include "hashes.h"

int main(int argc, char **argv)
{
    const char *size = argc > 1 ? argv[1] : "some";
    check_hashes(strcmp(size, "few") == 0 ? HASH_FEW : strcmp(size, "all") == 0 ? HASH_ALL : HASH_SOME);
    return test_report("test_plan_hash");
}
