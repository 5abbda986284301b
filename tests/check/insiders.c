/* insiders.c - the tests that look inside the library, and with them the library, for all others: it takes far longer to
   compile than any test. Their mains have names of their own. */
#define main test_oracle_main
#include "../test_oracle.c"
#undef main
#define main test_search_main
#include "../test_search.c"
#undef main
#define main test_share_cluster_main
#include "../test_share_cluster.c"
#undef main
#define main test_vllm_main
#include "../test_vllm.c"
#undef main
#define main test_homes_main
#include "../test_homes.c"
#undef main
