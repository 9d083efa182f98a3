/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_whole.h"

#include "mq_whole_types.h"

void mq_cast_to_f32(const void *x, float *y, const mq_cast_params *p) {
    for (int32_t i = 0; i < (int32_t)p->n; i++) {
        const int64_t v = mq_whole_load(x, i, p->x_type);
        y[i] = p->x_type == -8 ? (float)(uint64_t)v : (float)v;
    }
}
