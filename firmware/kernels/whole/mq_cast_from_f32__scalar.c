/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_whole.h"

#include "mq_whole_types.h"

/* The whole number next to x towards 0, within the 64 bits of the type. */
static int64_t whole(float x, int32_t type) {
    if (type == -8) {
        return x < 1.0f ? 0 : (x >= 18446744073709551616.0f ? -1 : (int64_t)(uint64_t)x);
    }
    if (!(x > -9223372036854775808.0f)) {
        return x < 0.0f ? INT64_MIN : 0; /* 0 for NaN */
    }
    return x >= 9223372036854775808.0f ? INT64_MAX : (int64_t)x;
}

static int64_t limited(int64_t v, int32_t type) {
    if (type == 8 || type == -8) {
        return v;
    }
    const int32_t bits = 8 * (type < 0 ? -type : type);
    const int64_t low = type < 0 ? 0 : -((int64_t)1 << (bits - 1));
    const int64_t high = type < 0 ? ((int64_t)1 << bits) - 1 : ((int64_t)1 << (bits - 1)) - 1;
    return v < low ? low : (v > high ? high : v);
}

void mq_cast_from_f32(const float *x, void *y, const mq_cast_params *p) {
    for (int32_t i = 0; i < (int32_t)p->n; i++) {
        const int32_t set = x[i] < 0.0f || x[i] > 0.0f || !(x[i] <= 0.0f); /* NaN is true */
        mq_whole_store(y, i, p->y_type, p->to_bool ? set : limited(whole(x[i], p->y_type), p->y_type));
    }
}
