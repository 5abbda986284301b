#include "migration.h"
void measure_service(const migration_settings *set) { (void)set; }
