/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_map.h"

#include "mq_float.h"

float mq_fn_asin(float x, const float *parameters) {
    (void)parameters;
    return mq_atan(x / MQ_SQRT((1.0f - x) * (1.0f + x)));
}
