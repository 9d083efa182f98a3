/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_map.h"

#include "mq_float.h"

float mq_fn_acosh(float x, const float *parameters) {
    (void)parameters;
    const float t = x - 1.0f;
    return mq_log1p(t + MQ_SQRT(t) * MQ_SQRT(t + 2.0f));
}
