/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_map.h"

#include "mq_float.h"

float mq_fn_power(float x, const float *parameters) {
    return mq_pow(x, parameters[0]);
}
