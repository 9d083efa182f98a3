/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_cumulate.h"

#include "mq_whole_types.h"

void mq_cumulate_whole(const void *x, void *y, const mq_cumulate_params *p) {
    for (uint32_t o = 0; o < p->outer; o++) {
        for (uint32_t i = 0; i < p->inner; i++) {
            uint64_t total = p->product ? 1u : 0u;
            for (uint32_t n = 0; n < p->count; n++) {
                const uint32_t place = p->reverse ? p->count - 1 - n : n;
                const int32_t at = (int32_t)((o * p->count + place) * p->inner + i);
                const uint64_t before = total;
                const uint64_t value = (uint64_t)mq_whole_load(x, at, p->type);
                total = p->product ? total * value : total + value;
                mq_whole_store(y, at, p->type, (int64_t)(p->exclusive ? before : total));
            }
        }
    }
}
