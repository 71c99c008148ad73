data "aws_partition" "current" {}

locals {
  iam             = "${path.module}/../../../iam"
  manage_policy   = coalesce(var.manage_policy, var.create_bucket)
  manage_settings = coalesce(var.manage_settings, var.create_bucket)
  bucket          = var.create_bucket ? aws_s3_bucket.this[0].id : var.bucket

  names = { partition = data.aws_partition.current.partition, bucket = var.bucket }
  tls   = jsondecode(templatefile("${local.iam}/bucket-tls.json.tmpl", local.names)).Statement

  # Sids are unique in a policy: each study's statements carry its number.
  records = flatten([
    for number, study in var.studies : [
      for statement in jsondecode(templatefile("${local.iam}/bucket.json.tmpl", merge(local.names, { prefix = "${study}/" }))).Statement :
      merge(statement, { Sid = "${statement.Sid}${number}" })
      if statement.Sid != "OverTlsOnly" # the whole bucket is
    ]
  ])
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = concat(local.tls, local.records, var.additional_statements)
  })
}

resource "aws_s3_bucket" "this" {
  count = var.create_bucket ? 1 : 0

  bucket        = var.bucket
  force_destroy = var.force_destroy
  tags          = var.tags
}

resource "aws_s3_bucket_public_access_block" "this" {
  count = local.manage_settings ? 1 : 0

  bucket                  = local.bucket
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  count = local.manage_settings ? 1 : 0

  bucket = local.bucket

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  count = local.manage_settings ? 1 : 0

  bucket = local.bucket

  rule {
    bucket_key_enabled = var.kms_key_arn != null

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  count = local.manage_settings ? 1 : 0

  bucket = local.bucket

  rule {
    id     = "abort-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  dynamic "rule" {
    for_each = var.checkpoint_days == null ? [] : var.studies

    content {
      id     = "checkpoints-${rule.key}"
      status = "Enabled"

      filter {
        prefix = "${rule.value}/checkpoints/"
      }

      expiration {
        days = var.checkpoint_days
      }
    }
  }

  dynamic "rule" {
    for_each = var.worker_days == null ? [] : var.studies

    content {
      id     = "workers-${rule.key}"
      status = "Enabled"

      filter {
        prefix = "${rule.value}/workers/"
      }

      expiration {
        days = var.worker_days
      }
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  count = local.manage_policy ? 1 : 0

  bucket = local.bucket
  policy = local.policy

  # S3 looks at public access when a policy is put, and answers a conflict while that setting changes.
  depends_on = [aws_s3_bucket_public_access_block.this, aws_s3_bucket_ownership_controls.this]
}

resource "aws_s3_bucket_notification" "events" {
  count = var.events ? 1 : 0

  bucket      = local.bucket
  eventbridge = true
}
