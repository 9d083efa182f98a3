/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_map.h"

#include "mq_float.h"

float mq_fn_gelu(float x, const float *parameters) {
    (void)parameters;
    return 0.5f * x * (1.0f + mq_erf(x * 0.707106781f));
}
