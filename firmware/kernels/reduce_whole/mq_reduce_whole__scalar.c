/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_reduce_whole.h"

#include "mq_whole_types.h"

void mq_reduce_whole(const void *x, void *y, const mq_reduce_whole_params *p, mq_whole_function f) {
    for (uint32_t o = 0; o < p->outer; o++) {
        for (uint32_t i = 0; i < p->inner; i++) {
            const uint32_t from = o * p->count * p->inner + i;
            int64_t acc = mq_whole_load(x, (int32_t)from, p->type);
            for (uint32_t k = 1; k < p->count; k++) {
                acc = f(acc, mq_whole_load(x, (int32_t)(from + k * p->inner), p->type));
            }
            mq_whole_store(y, (int32_t)(o * p->inner + i), p->type, acc);
        }
    }
}
