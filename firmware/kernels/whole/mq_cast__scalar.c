/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_whole.h"

#include "mq_whole_types.h"

void mq_cast(const void *x, void *y, const mq_cast_params *p) {
    for (int32_t i = 0; i < (int32_t)p->n; i++) {
        const int64_t v = mq_whole_load(x, i, p->x_type);
        mq_whole_store(y, i, p->y_type, p->to_bool ? v != 0 : v);
    }
}
