/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_map.h"

#include "mq_float.h"

float mq_fn_softplus(float x, const float *parameters) {
    (void)parameters;
    return (x > 0.0f ? x : 0.0f) + mq_log1p(mq_exp(-mq_abs(x)));
}
