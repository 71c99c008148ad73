data "aws_partition" "current" {}
data "aws_caller_identity" "current" {}
data "aws_region" "current" {}

locals {
  iam = "${path.module}/../../../iam"

  where = {
    partition  = data.aws_partition.current.partition
    dns_suffix = data.aws_partition.current.dns_suffix
    region     = data.aws_region.current.name
    account    = data.aws_caller_identity.current.account_id
  }
  study_name = coalesce(var.study_name, reverse(split("/", var.study))[0], var.bucket)
  store      = merge(local.where, { bucket = var.bucket, prefix = var.study == "" ? "" : "${var.study}/" })

  # What takes a role is known before any role is: no document depends on itself.
  worker_role_name = "${var.name}-worker"
  worker_role_arn  = "arn:${local.where.partition}:iam::${local.where.account}:role/${local.worker_role_name}"
  launch           = merge(local.where, { worker_role_arn = local.worker_role_arn, study_name = local.study_name })

  # In the documents of the store, not beside them: whether there is a key may be known only when it is made.
  kms = var.kms_key_arn == null ? [] : jsondecode(
    templatefile("${local.iam}/kms.json.tmpl", merge(local.where, { kms_key_arn = var.kms_key_arn }))
  ).Statement
  stores = {
    for role in [local.worker_template, local.coordinator_template, "submitter"] : role => jsonencode({
      Version   = "2012-10-17"
      Statement = concat(jsondecode(templatefile("${local.iam}/${role}.json.tmpl", local.store)).Statement, local.kms)
    })
  }
  batch = var.batch == null ? {} : {
    launch-aws-batch = (
      var.batch.job_definition_arn == null
      ? templatefile("${local.iam}/launch-aws-batch-registering.json.tmpl", merge(local.launch, {
        job_queue_arn = var.batch.job_queue_arn
        log_group_arn = var.batch.log_group_arn
      }))
      : templatefile("${local.iam}/launch-aws-batch.json.tmpl", merge(local.launch, {
        job_queue_arn      = var.batch.job_queue_arn
        log_group_arn      = var.batch.log_group_arn
        job_definition_arn = var.batch.job_definition_arn
      }))
    )
  }
  sagemaker = var.sagemaker ? { launch-sagemaker = templatefile("${local.iam}/launch-sagemaker.json.tmpl", local.launch) } : {}
  ec2 = var.ec2 == null ? {} : {
    launch-ec2 = templatefile("${local.iam}/launch-ec2.json.tmpl", merge(local.launch, {
      launch_template_arn = var.ec2.launch_template_arn
    }))
  }
  prices    = var.prices ? { prices = templatefile("${local.iam}/prices.json.tmpl", {}) } : {}
  launching = merge(local.batch, local.sagemaker, local.ec2, local.prices)

  worker_template      = var.with_ticks ? "worker-with-ticks" : "worker"
  coordinator_template = var.scaling ? "coordinator-that-scales" : "coordinator"

  worker_policies = merge(
    { store = local.stores[local.worker_template] },
    length(var.secret_arns) == 0 ? {} : { secrets = templatefile("${local.iam}/secrets.json.tmpl", { secret_arns = var.secret_arns }) },
    length(var.parameter_arns) == 0 ? {} : { parameters = templatefile("${local.iam}/parameters.json.tmpl", { parameter_arns = var.parameter_arns }) },
    length(var.repository_arns) == 0 ? {} : { images = templatefile("${local.iam}/images.json.tmpl", { repository_arns = var.repository_arns }) },
    contains(var.worker_services, "sagemaker") ? { sagemaker-logs = templatefile("${local.iam}/sagemaker-logs.json.tmpl", local.where) } : {},
    var.sagemaker_vpc ? { sagemaker-vpc = templatefile("${local.iam}/sagemaker-vpc.json.tmpl", local.where) } : {},
  )
  coordinator_policies = merge(
    { store = local.stores[local.coordinator_template] },
    var.scaling ? local.launching : {},
  )
  submitter_policies = merge(
    { store = local.stores["submitter"] },
    local.launching,
  )

  # A service that says for whom it takes a role may do so for this account only.
  worker_trust = {
    Version = "2012-10-17"
    Statement = flatten([
      for service in sort(tolist(var.worker_services)) : jsondecode(
        templatefile(
          "${local.iam}/${service == "ec2" ? "trust" : "trust-for-account"}.json.tmpl",
          merge(local.where, { service = "${service}.${service == "ec2" ? local.where.dns_suffix : "amazonaws.com"}" }),
        )
      ).Statement
    ])
  }
}

resource "aws_iam_role" "worker" {
  name               = local.worker_role_name
  description        = "Trains the trials of s3://${var.bucket}/${var.study}"
  assume_role_policy = jsonencode(local.worker_trust)
  tags               = var.tags
}

resource "aws_iam_role_policy" "worker" {
  for_each = local.worker_policies

  name   = each.key
  role   = aws_iam_role.worker.id
  policy = each.value
}

resource "aws_iam_instance_profile" "worker" {
  count = contains(var.worker_services, "ec2") ? 1 : 0

  name = local.worker_role_name
  role = aws_iam_role.worker.name
  tags = var.tags
}

resource "aws_iam_role" "coordinator" {
  name        = "${var.name}-coordinator"
  description = "Decides what s3://${var.bucket}/${var.study} trains"
  tags        = var.tags

  assume_role_policy = templatefile("${local.iam}/trust.json.tmpl", { service = "lambda.amazonaws.com" })
}

resource "aws_iam_role_policy" "coordinator" {
  for_each = local.coordinator_policies

  name   = each.key
  role   = aws_iam_role.coordinator.id
  policy = each.value
}

resource "aws_iam_role" "submitter" {
  count = length(var.submitters) > 0 ? 1 : 0

  name        = "${var.name}-submitter"
  description = "Creates, steers and launches s3://${var.bucket}/${var.study}"
  tags        = var.tags

  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { AWS = var.submitters } }]
  })
}

resource "aws_iam_role_policy" "submitter" {
  for_each = length(var.submitters) > 0 ? local.submitter_policies : {}

  name   = each.key
  role   = aws_iam_role.submitter[0].id
  policy = each.value
}
