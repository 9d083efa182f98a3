/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_map.h"

#include "mq_float.h"

float mq_fn_erf(float x, const float *parameters) {
    (void)parameters;
    return mq_erf(x);
}
