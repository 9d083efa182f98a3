/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_whole.h"

int64_t mq_whole_pow(int64_t a, int64_t b) {
    if (b < 0) {
        return a == 1 ? 1 : (a == -1 ? ((b & 1) ? -1 : 1) : 0);
    }
    uint64_t result = 1;
    uint64_t factor = (uint64_t)a;
    for (uint64_t left = (uint64_t)b; left; left >>= 1) {
        if (left & 1u) {
            result *= factor;
        }
        factor *= factor;
    }
    return (int64_t)result;
}
