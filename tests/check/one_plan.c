/* one_plan.c - test_plan_hash and test_golden in one program, which plan.sh compiles in many ways. It takes the arguments of
   the former. */
#define main hash_main
#include "../test_plan_hash.c"
#undef main
#define main golden_main
#include "../test_golden.c"
#undef main

int main(int argc, char **argv)
{
    int differs = hash_main(argc, argv);
    return golden_main(1, argv) || differs;
}
