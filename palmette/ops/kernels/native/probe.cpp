// The smallest library: whether a kernel can be built here and be loaded.
#include "vector.h"

extern "C" int lanes() { return LANES; }
