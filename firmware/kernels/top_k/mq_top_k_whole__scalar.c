/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_top_k.h"

#include "mq_whole_types.h"

/* Does a come before b? Numbers of 64 bits without a sign come as the signed ones of the same bits. */
static int32_t before(int64_t a, int64_t b, const mq_top_k_params *p) {
    if (p->type == -8) {
        return p->largest ? (uint64_t)a > (uint64_t)b : (uint64_t)a < (uint64_t)b;
    }
    return p->largest ? a > b : a < b;
}

void mq_top_k_whole(const void *x, void *y, int64_t *index, const mq_top_k_params *p) {
    for (uint32_t o = 0; o < p->outer; o++) {
        for (uint32_t i = 0; i < p->inner; i++) {
            const uint32_t from = o * p->count * p->inner + i;
            const uint32_t to = o * p->k * p->inner + i;
            uint32_t kept = 0;
            for (uint32_t n = 0; n < p->count; n++) {
                const int64_t value = mq_whole_load(x, (int32_t)(from + n * p->inner), p->type);
                uint32_t j = kept;
                while (j > 0) {
                    const uint32_t last = to + (j - 1) * p->inner;
                    const int64_t other = mq_whole_load(y, (int32_t)last, p->type);
                    if (!before(value, other, p)) {
                        break;
                    }
                    if (j < p->k) {
                        mq_whole_store(y, (int32_t)(last + p->inner), p->type, other);
                        index[last + p->inner] = index[last];
                    }
                    j--;
                }
                if (j < p->k) {
                    mq_whole_store(y, (int32_t)(to + j * p->inner), p->type, value);
                    index[to + j * p->inner] = (int64_t)n;
                    kept += kept < p->k ? 1u : 0u;
                }
            }
        }
    }
}
